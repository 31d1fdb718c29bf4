"""Splits made by a rule: functions of names and seed, no source on two sides unless it is allowed by name."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_tasks import TASKS, suite, task

from examples import examples
from task_suites.audit.run import shared_sources
from task_suites.core.errors import UserError
from task_suites.sources import open_suite
from task_suites.split_rules import KEYS, divide, grouped, nested
from task_suites.splits import Split, apply
from task_suites.task import META_SPLITS

some_tasks = st.lists(
    st.tuples(*[st.sampled_from(["", "a", "b", "c", "d", "e", "f"])] * 3), min_size=3, max_size=24
).map(lambda rows: [task(f"t{i}", *row) for i, row in enumerate(rows)])


def side_of(split: Split) -> dict[str, str]:
    return {name: side for side, names in split.sides().items() for name in names}


@pytest.mark.parametrize("by", list(KEYS))
def test_a_split_holds_each_task_once_near_its_shares_and_parts_no_group(by):
    split = divide(TASKS, by, seed=3)
    names = [name for side in split.sides().values() for name in side]
    assert sorted(names) == sorted(t.name for t in TASKS)
    assert abs(len(split.meta_train) / 48 - 0.7) < 0.13 and split.meta_validation and split.meta_test
    side = side_of(split)
    for key in ("source", "family", by):
        groups: dict[str, set[str]] = {}
        for t in TASKS:
            groups.setdefault(KEYS[key](t), set()).add(side[t.name])
        assert all(len(sides) == 1 for sides in groups.values())


@examples(100)
@given(some_tasks, st.sampled_from(list(KEYS)), st.integers(0, 5), st.randoms(use_true_random=False))
def test_a_split_does_not_depend_on_the_order_of_tasks_and_parts_no_source(tasks, by, seed, rng):
    shuffled = tasks[:]
    rng.shuffle(shuffled)
    try:
        split = divide(tasks, by, seed=seed)
    except UserError:
        assert len(grouped(tasks, by)) < 3
        return
    assert split == divide(shuffled, by, seed=seed)
    apply(suite(*tasks), split)  # raises where a source or family is parted
    assert all(split.sides().values())


def test_another_seed_is_another_split():
    assert len({divide(TASKS, seed=seed).meta_test for seed in range(6)}) > 3


def test_tasks_of_an_allowed_source_may_be_parted():
    tasks = [task(f"t{i}", "one source") for i in range(9)]
    with pytest.raises(UserError, match="grouped by task, the tasks are 1 group; expected at least one for each of"):
        divide(tasks, "task")
    split = divide(tasks, "task", allow=["One source"])
    assert sorted(map(len, split.sides().values())) == [1, 2, 6]
    with pytest.raises(UserError, match="the source 'one source' is on two sides"):
        apply(suite(*tasks), split)
    assert {s: len(apply(suite(*tasks), split, allow=["one source"]).split(s)) for s in META_SPLITS} == {
        "meta_train": 6,
        "meta_validation": 1,
        "meta_test": 2,
    }


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"by": "sauce"}, "tasks cannot be grouped by 'sauce'. Did you mean source"),
        ({"shares": {"meta_trian": 1.0}}, "unknown meta-split 'meta_trian'. Did you mean meta_train"),
        ({"shares": {"meta_train": 0.7}}, "must be 0 or more and add up to 1; found"),
    ],
)
def test_a_wrong_setting_is_named(settings_, message):
    with pytest.raises(UserError, match=message):
        divide(TASKS, **settings_)


def test_nested_folds_test_each_task_once_and_validate_each_other_task_once():
    splits = nested(TASKS, outer=4, inner=3, seed=1)
    assert [s.name for s in splits][:4] == ["fold1-1", "fold1-2", "fold1-3", "fold2-1"] and len(splits) == 12
    everything = sorted(t.name for t in TASKS)
    assert sorted(name for s in splits[::3] for name in s.meta_test) == everything
    for outer in range(4):
        inner = splits[3 * outer : 3 * outer + 3]
        assert len({s.meta_test for s in inner}) == 1
        validated = sorted(name for s in inner for name in s.meta_validation)
        assert sorted([*validated, *inner[0].meta_test]) == everything
        for s in inner:
            apply(suite(*TASKS), s)
            assert sorted([*s.meta_train, *s.meta_validation, *s.meta_test]) == everything
    shuffled = random.Random(0).sample(TASKS, len(TASKS))
    assert nested(shuffled, outer=4, inner=3, seed=1) == splits


def test_folds_that_cannot_be_filled_are_refused():
    with pytest.raises(UserError, match="grouped by task, the tasks are 3 groups; expected at least one for each of"):
        nested([task("a"), task("b"), task("c")], 3, 3, by="task")
    with pytest.raises(UserError, match="at least 2 outer and 2 inner folds, but outer is 1 and inner is 2"):
        nested(TASKS, 1, 2)


def test_a_suite_that_names_itself_as_the_source_is_split_by_its_families():
    embedded = open_suite("embedded")
    split = divide(embedded, "family", seed=1)
    sides = [{embedded[name].family for name in names} for names in split.sides().values()]
    assert all(sides) and sum(map(len, sides)) == len({t.family for t in embedded.tasks.values()})
    applied = apply(embedded, split)
    assert shared_sources(applied) == [] and applied.name == "embedded/by_family_1"
    assert {s: len(names) for s, names in applied.splits.items()} == {s: len(n) for s, n in split.sides().items()}
