"""A suite without its leaks: which examples go, and when none can."""

from __future__ import annotations

import json

import pytest

from task_suites.audit.fix import LOG, cleaned, write_fixed
from task_suites.audit.run import audit_suite
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.sources import open_suite
from task_suites.task import Task, TaskSuite

YES_NO = ("yes", "no")
COLOURS = ("amber", "teal", "violet", "scarlet", "ivory", "indigo", "ochre", "maroon")


def task(name: str, copied: int = 0) -> Task:
    """A task of eight train and eight test examples, the first `copied` train examples the same in every task."""

    def load(part: str) -> list[Example]:
        return [
            Example(
                f"shared {COLOURS[i]} lamp over the river" if part == "train" and i < copied else f"{name} {part} {c}",
                YES_NO[i % 2],
                YES_NO,
            )
            for i, c in enumerate(COLOURS)
        ]

    return Task(name, "classification", load, labels=YES_NO, family=name)


def suite(copied: int) -> TaskSuite:
    return TaskSuite(
        "s", {n: task(n, copied) for n in ("held", "train")}, {"meta_train": ("train",), "meta_test": ("held",)}
    )


def test_only_the_copies_in_the_meta_training_tasks_go(tmp_path):
    leaking = suite(3)
    fixed = cleaned(leaking, audit_suite(leaking, near=False), near=False)
    assert fixed.report.clean and not fixed.dropped
    assert sorted(pair.drop for pair in fixed.removed) == [("train", "train", i) for i in range(3)]
    assert len(fixed.suite["train"].examples("train")) == 5 and len(fixed.suite["held"].examples("train")) == 8
    write_fixed(fixed, tmp_path / "clean")
    log = [json.loads(line) for line in (tmp_path / "clean" / LOG).read_text(encoding="utf-8").splitlines()]
    assert [(row["task"], row["index"], row["kept"]["task"]) for row in log] == [("train", i, "held") for i in range(3)]
    assert len(open_suite(str(tmp_path / "clean"))["train"].examples("train")) == 5


def test_a_clean_suite_stays_as_it_is():
    clean = suite(0)
    assert cleaned(clean, audit_suite(clean, near=False)).suite is clean


def test_a_task_whose_part_is_all_leaks_is_dropped():
    leaking = suite(8)
    fixed = cleaned(leaking, audit_suite(leaking, near=False), near=False)
    assert fixed.dropped == ["train"] and list(fixed.suite.tasks) == ["held"]


def test_a_source_on_two_sides_is_not_mended_by_removing_examples():
    tasks = {n: task(n).replace(family="", source="one set") for n in ("held", "train")}
    both = TaskSuite("s", tasks, {"meta_train": ("train",), "meta_test": ("held",)})
    with pytest.raises(UserError, match="these sources have tasks on two sides of the split; found one set"):
        cleaned(both, audit_suite(both, near=False))
