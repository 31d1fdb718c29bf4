"""The audit of a whole suite: what is compared with what, and what the report counts."""

from __future__ import annotations

import json

import pytest

from task_suites.audit.run import BETWEEN, WITHIN, Pair, audit_suite, shared_sources
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.task import Task, TaskSuite

YES_NO = ("yes", "no")


def task(name: str, train: list[str], test: list[str], **fields: str) -> Task:
    parts = {
        part: [Example(text, "yes", YES_NO) for text in texts] for part, texts in (("train", train), ("test", test))
    }
    return Task(name, "classification", parts.__getitem__, labels=YES_NO, **fields)  # type: ignore[arg-type]


def suite(**sides: list[Task]) -> TaskSuite:
    tasks = {task.name: task for side in sides.values() for task in side}
    return TaskSuite("s", tasks, {side: tuple(task.name for task in members) for side, members in sides.items()})


def test_each_relation_of_two_copies_is_counted_apart_and_leaks_come_first():
    first = task("a", ["one fish", "One  FISH", "two fish"], ["two fish", "a test"])
    report = audit_suite(
        suite(meta_train=[first, task("b", ["red fish", "blue"], ["x"])], meta_test=[task("c", ["blue"], ["y"])]),
        near=False,
        languages=False,
    )
    assert report.counts() == {
        "meta_train and meta_test": {"exact": 1},
        "train and test": {"exact": 1},
        WITHIN: {"exact": 1},
    }
    assert [pair.leak for pair in report.pairs] == [True, True, False] and not report.clean
    across = next(pair for pair in report.pairs if pair.relation == "meta_train and meta_test")
    assert (across.keep, across.drop) == (("c", "train", 0), ("b", "train", 1))


def test_copies_in_two_tasks_of_one_side_are_no_leak():
    tasks = [task("a", ["one", "same text"], ["x"]), task("b", ["two", "same text"], ["y"])]
    report = audit_suite(suite(meta_train=tasks), near=False, languages=False)
    assert [(pair.relation, pair.leak) for pair in report.pairs] == [(BETWEEN, False)] and report.clean


def test_a_report_for_machines_is_json_without_any_text():
    tasks = [task("a", ["a secret sentence", "b"], ["a secret sentence"])]
    report = audit_suite(suite(meta_train=tasks), near=False, languages=False)
    text = json.dumps(report.to_json())
    assert "secret" not in text and json.loads(text)["leaks"] == 1
    assert json.loads(text)["pairs"][0]["keep"] == ["a", "test", 0]


def test_a_source_is_shared_whatever_its_case_unless_it_is_allowed():
    both = suite(
        meta_train=[task("a", ["1"], ["2"], source="One Set")], meta_test=[task("b", ["3"], ["4"], source="one set")]
    )
    assert [shared.tasks for shared in shared_sources(both)] == [{"meta_train": ["a"], "meta_test": ["b"]}]
    assert shared_sources(both, ["ONE SET"]) == []


def test_an_audit_says_what_it_reads_and_refuses_a_negative_context():
    said: list[str] = []
    only = suite(meta_train=[task("a", ["1"], ["2"])])
    audit_suite(only, near=False, languages=False, say=said.append)
    assert said == ["reading a (1 of 1)", "comparing"]
    with pytest.raises(UserError, match="context must be 0 or more, but is -1"):
        audit_suite(only, context=-1)


def test_only_a_pair_within_a_side_is_no_leak():
    here, there = ("a", "train", 0), ("b", "train", 0)
    relations = (WITHIN, BETWEEN, "train and test", "meta_train and meta_test")
    assert [Pair("exact", relation, here, there).leak for relation in relations] == [False, False, True, True]
