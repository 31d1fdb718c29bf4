"""Which task is on which side: what two sides share, and a suite on the sides of a split."""

from __future__ import annotations

import json

import pytest
from made_tasks import TASKS, suite, task

from task_suites.core.errors import UserError
from task_suites.metaicl_names import data_set
from task_suites.split_files import SETTINGS, load_split
from task_suites.splits import Split, apply, overlaps

# --- MetaICL's settings -----------------------------------------------------------------------------------------------


def test_one_setting_has_a_task_on_both_sides_and_two_have_a_data_set():
    found = {
        name: [(o.what, o.name) for o in overlaps(load_split(name))]
        for name in (path.stem for path in SETTINGS.glob("*.json"))
    }
    assert {name: pairs for name, pairs in found.items() if pairs} == {
        "non_nli_to_nli": [("task", "sick"), ("source", "sick")],
        "class_to_class": [("source", "ethos")],
        "qa_to_qa": [("source", "wino_grande")],
    }


def test_a_setting_is_applied_to_a_suite_that_has_its_tasks_and_its_overlap_must_be_allowed():
    split = load_split("non_nli_to_nli")
    tasks = suite(*(task(name, data_set(name)) for name in {*split.meta_train, *split.meta_test}))
    with pytest.raises(UserError, match=r"the task 'sick' is on two sides; found meta_train: sick; meta_test: sick"):
        apply(tasks, split)
    applied = apply(tasks, split, allow=["sick"])
    assert [t.name for t in applied.split("meta_test")] == list(split.meta_test)
    assert "sick@meta_train" in applied.splits["meta_train"] and len(applied.tasks) == 63


def test_a_suite_that_lacks_a_task_of_the_split_is_told_so():
    with pytest.raises(UserError, match=r"no task 't9'. Did you mean t0|no task 't9'"):
        apply(suite(task("t0")), Split("s", meta_test=("t9",)))


def test_tasks_that_a_split_does_not_name_are_left_out():
    applied = apply(suite(*TASKS), Split("s", meta_train=("t0",), meta_test=("t20",)))
    assert list(applied.tasks) == ["t20", "t0"] or set(applied.tasks) == {"t0", "t20"}
    assert json.loads(json.dumps(applied.splits)) == {"meta_train": ["t0"], "meta_validation": [], "meta_test": ["t20"]}
