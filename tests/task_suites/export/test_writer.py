"""What the writers of several layouts share."""

from __future__ import annotations

import json

from task_suites.example import Example
from task_suites.export.writer import folder_name, has_several_answers, head, suite_header, text_problem, write_json
from task_suites.task import Illustration, Task, TaskSuite


def task(*examples: Example, **fields: object) -> Task:
    return Task("a:b", fields.pop("type", "generation"), lambda split: examples, **fields)  # type: ignore[arg-type]


PLAIN = task(Example("q", "a"), metric="rouge_l")


def test_a_head_leaves_out_what_a_task_does_not_say_except_its_family():
    assert head(PLAIN) == {"type": "generation", "metric": "rouge_l", "family": ""}
    full = head(PLAIN.replace(licence="MIT", positive=(Illustration("1", "2"),)))
    assert full["licence"] == "MIT" and full["positive"] == [{"input": "1", "output": "2", "explanation": ""}]


def test_a_header_holds_the_sides_as_lists():
    suite = TaskSuite("s", {"a:b": PLAIN}, {"meta_test": ("a:b",)}, "d")
    assert suite_header(suite) == {"name": "s", "description": "d", "splits": {"meta_test": ["a:b"]}}


def test_answers_that_a_reader_would_change_are_a_problem():
    assert text_problem(PLAIN) is None
    assert text_problem(task(Example("q", "a", accepted=("a",)))) == "answers that repeat or have line breaks"
    assert text_problem(task(Example("q", "x", ("x", "y")), type="multiple_choice")) is None
    assert has_several_answers(task(Example("q", "a"), Example("r", "b", accepted=("c",))))
    assert not has_several_answers(PLAIN)


def test_a_folder_s_name_has_no_colon_and_json_stays_readable(tmp_path):
    assert folder_name("a:b:c") == "a.b.c"
    write_json(tmp_path / "new" / "x.json", {"é": [1]})
    text = (tmp_path / "new" / "x.json").read_text(encoding="utf-8")
    assert json.loads(text) == {"é": [1]} and "é" in text and text.endswith("\n")
