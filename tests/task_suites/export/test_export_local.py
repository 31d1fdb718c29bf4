"""Our own layout, as it is written."""

from __future__ import annotations

import json

import yaml

from task_suites.example import Example
from task_suites.export.local import WRITER
from task_suites.task import Task, TaskSuite


def test_a_row_does_not_repeat_the_labels_and_leaves_out_what_is_empty(tmp_path):
    rows = [Example("q", "yes", ("yes", "no")), Example("r", "no", ("no", "yes"))]
    task = Task("a", "classification", lambda split: rows, labels=("yes", "no"))
    WRITER.write(TaskSuite("s", {"a": task}, {"meta_test": ("a",)}), tmp_path)
    lines = (tmp_path / "a" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"input": "q", "output": "yes"},
        {"input": "r", "output": "no", "options": ["no", "yes"]},
    ]
    header = yaml.safe_load((tmp_path / "a" / "task.yaml").read_text(encoding="utf-8"))
    assert (header["train_size"], header["test_size"], header["labels"]) == (2, 2, ["yes", "no"])


def test_a_metric_that_the_reader_would_refuse_is_a_problem():
    rows = [Example("q", "a")]
    assert WRITER.problem(Task("a", "generation", lambda split: rows)) is None
    assert "span_f1" in WRITER.problem(Task("a", "generation", lambda split: rows, metric="span_f1"))
