"""What the service says of itself holds no text of a client's: numbers for Prometheus, lines of JSON."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from metaicl.inference.service.observe import JsonLines, Metrics, log_as_json


def record(message: str, facts: dict | None = None, error: bool = False) -> logging.LogRecord:
    made = logging.LogRecord(
        "metaicl.service", logging.WARNING, "x.py", 1, message, (), sys.exc_info() if error else None
    )
    if facts:
        made.facts = facts
    return made


@pytest.mark.parametrize("name", ["plain", 'quoted "\n', "line\nbreak\r\u2028", "half \ud83d"])
def test_a_record_is_one_line_of_ascii_whatever_a_name_holds(name):
    line = JsonLines().format(record("request", {"route": name}))
    assert line.isascii() and len(line.splitlines()) == 1
    row = json.loads(line)
    assert (row["event"], row["level"], row["route"]) == ("request", "warning", name)


def test_an_error_is_named_with_its_place():
    try:
        raise ValueError("a bug")
    except ValueError:
        row = json.loads(JsonLines().format(record("it failed", error=True)))
    assert "ValueError" in row["error"]
    assert "test_observe.py" in json.dumps(row)


def test_the_numbers_of_two_services_are_their_own():
    one, other = Metrics(), Metrics()
    one.requests.labels("/tasks", "200").inc(3)
    assert b'metaicl_requests_total{route="/tasks",status="200"} 3.0' in one.text()
    assert b'route="/tasks"' not in other.text()


def test_the_log_of_the_service_is_json_on_standard_error_and_goes_nowhere_else(capsys):
    logs = [logging.getLogger(name) for name in ("metaicl.service", "uvicorn.error")]
    before = [(list(log.handlers), log.propagate, log.level) for log in logs]
    try:
        log_as_json()
        log_as_json()  # again: not twice
        logs[0].info("request", extra={"facts": {"status": 200}})
        (line,) = capsys.readouterr().err.splitlines()
        assert json.loads(line)["status"] == 200
    finally:
        for log, (handlers, propagate, level) in zip(logs, before, strict=True):
            log.handlers[:], log.propagate = handlers, propagate
            log.setLevel(level)
