"""A stored suite as a layout to export to."""

from __future__ import annotations

from task_suites.example import Example
from task_suites.export.arrow import WRITER
from task_suites.sources import open_suite
from task_suites.task import Task, TaskSuite


def test_any_task_can_be_stored_also_one_whose_name_is_not_a_folder_s(tmp_path):
    rows = [Example(tokens=("a",), tags=("O",)), Example(tokens=("b",), tags=("B-X",))]
    task = Task("a/b: c?", "tagging", lambda split: rows, labels=("X",), metric="span_f1")
    assert WRITER.problem(task) is None and not WRITER.folders
    opening = WRITER.write(TaskSuite("s", {task.name: task}, {"meta_test": (task.name,)}), tmp_path)
    assert list(open_suite(opening.format(tmp_path))[task.name].examples("test")) == rows
