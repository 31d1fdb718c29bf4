"""What is measured of a machine: once for each question, and again on another machine or where the file is damaged."""

from __future__ import annotations

import json

import pytest

from metaicl.lm import machine
from metaicl.lm.machine import least_seconds, measured_once

ANSWERS = ("left", "right")


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """Ask a machine of a given name, where the truth is given; the list has what was really measured."""
    asked = []

    def ask(name, truth, question="side", again=True):
        def measure():
            asked.append((name, question))
            return truth

        if again:
            machine.forget()  # as in a fresh process
        monkeypatch.setattr(machine, "identity", lambda: name)
        return measured_once(question, ANSWERS, measure)

    monkeypatch.setattr(machine, "user_cache", lambda: tmp_path)
    yield ask, asked, tmp_path / "machine.json"
    machine.forget()


def test_a_machine_is_measured_once_for_each_question_and_another_machine_again(measured):
    ask, asked, path = measured
    assert ask("old", "left") == "left"
    assert ask("new", "right") == "right"
    assert ask("old", "right", question="hand") == "right"
    assert ask("old", "right") == "left"  # as it was found: a run that continues has what it began with
    assert json.loads(path.read_text()) == {"old": {"side": "left", "hand": "right"}, "new": {"side": "right"}}
    assert asked == [("old", "side"), ("new", "side"), ("old", "hand")]


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"old": {"side": "up"}}', '{"old": {"side": 3}}', '{"old": 3}'])
def test_a_damaged_file_is_measured_again(measured, damage):
    ask, _, path = measured
    path.write_text(damage)
    assert ask("old", "left") == "left"
    assert json.loads(path.read_text()) == {"old": {"side": "left"}}


def test_a_cache_that_cannot_be_written_does_no_harm(measured, monkeypatch):
    ask, asked, path = measured
    path.write_text("a file")
    monkeypatch.setattr(machine, "user_cache", lambda: path / "below a file")
    assert ask("old", "left") == "left" and ask("old", "left") == "left"
    assert len(asked) == 2


def test_the_least_time_is_taken_after_a_round_that_warms_up(monkeypatch):
    ticks = iter([0.0, 1.0, 2.0, 7.0, 8.0, 11.0])  # rounds of 1, 5 and 3 seconds
    monkeypatch.setattr(machine.time, "perf_counter", lambda: next(ticks))
    assert least_seconds(lambda: None, rounds=2) == 3.0
