"""Several suites as one: sides are joined in any order, clashes and leaks are refused, and each way out works."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import LABELS, make_folder, rows, write_task
from hypothesis import given
from hypothesis import strategies as st
from mixtures import own, suite_of
from toys import toy_task

from task_suites.audit.run import audit_suite, shared_sources
from task_suites.core.errors import UserError
from task_suites.mixture import merge
from task_suites.provenance import data_record, tree
from task_suites.sources import SuiteConfig
from task_suites.split_files import save_split
from task_suites.split_rules import divide
from task_suites.splits import Split
from task_suites.task import META_SPLITS, TaskSuite


def folder(parent: Path, name: str, tasks: tuple[str, str, str], **changes: object) -> str:
    """A folder of three tasks, one on each side, under a name of its own."""
    made = make_folder(parent / name, tasks=tasks)
    if changes:
        write_task(made, tasks[0], **changes)
    return str(made)


def mixed(*names: str, **settings: object) -> TaskSuite:
    return SuiteConfig(list(names), **settings).open()[0]  # type: ignore[arg-type]


def way_out(error: UserError) -> dict[str, list[str]]:
    """The tasks that an error's last sentence leaves out, as the shell reads them."""
    (words,) = re.findall(r"--exclude ([^;,]+?)(?:, or allow.*)?$", str(error))
    return {"exclude": shlex.split(words)}


@pytest.fixture
def two(tmp_path) -> tuple[str, str]:
    """Two folders that have nothing in common."""
    return folder(tmp_path, "one", ("mood", "taste", "topic")), folder(tmp_path, "two", ("age", "size", "tone"))


def test_the_tasks_of_each_side_are_joined_and_know_their_suite(two):
    suite = mixed(*two)
    assert {side: sorted(names) for side, names in suite.splits.items()} == {
        "meta_train": ["age", "mood"],
        "meta_validation": ["size", "taste"],
        "meta_test": ["tone", "topic"],
    }
    assert {task.name: task.suite for task in suite.tasks.values()} == {
        **dict.fromkeys(("mood", "taste", "topic"), two[0]),
        **dict.fromkeys(("age", "size", "tone"), two[1]),
    }
    assert suite.name == "small+small"
    assert {of["suite"] for of in data_record(suite.tasks.values()).values()} == set(two)


def test_a_suite_by_itself_keeps_its_name_sides_and_examples(two):
    suite = mixed(f"{two[0]}/")  # a slash at the end is no other suite
    assert (suite.name, suite.description, len(suite.tasks)) == ("small", "three tasks", 3)
    assert suite["mood"].suite == two[0]
    assert [e.text for e in suite["mood"].examples("train")] == [row["input"] for row in rows("mood", "train")]
    assert mixed("embedded", tasks=["kitchen_taste"])["kitchen_taste"].suite == "embedded"


@given(order=st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_the_suites_changes_nothing(order):
    suites = {
        "a": suite_of("a", t1="x"),
        "b": suite_of("b", "meta_test", t2="y", t3="z"),
        "c": suite_of("same", t4="v"),
        "d": suite_of("same", "meta_validation", t5="w"),
    }
    merged, again = merge(suites), merge({name: suites[name] for name in order})
    assert merged == again and list(merged.tasks) == list(again.tasks)
    assert tree(merged) == tree(again)


def test_the_same_suite_twice_or_none_is_refused():
    with pytest.raises(UserError, match="a suite is named twice; found embedded"):
        SuiteConfig(["embedded", "toys:toy_suite", "embedded/"])
    for names in ([], "embedded"):
        with pytest.raises(UserError, match=r"suite must be a list of suites"):
            SuiteConfig(names)  # type: ignore[arg-type]


def test_a_name_in_two_suites_is_refused_with_both_and_leaving_one_out_works(tmp_path, two):
    other = folder(tmp_path, "three", ("mood", "size", "pace"), train=rows("another mood", "train"))
    with pytest.raises(UserError, match="two suites share the name of 1 task; found mood in ") as raised:
        mixed(two[0], other)
    assert f"mood in {other} and in {two[0]}" in str(raised.value) or f"in {two[0]} and in {other}" in str(raised.value)
    left_out = way_out(raised.value)
    suite = mixed(two[0], other, **left_out)
    assert sorted(suite.tasks) == ["mood", "pace", "size", "taste", "topic"]
    assert left_out["exclude"] != [f"{suite['mood'].suite}/mood"]
    kept = mixed(two[0], other, tasks=[f"{other}/mood", "pace", "topic"])
    assert sorted(kept.tasks) == ["mood", "pace", "topic"] and kept["mood"].suite == other
    with pytest.raises(UserError, match=r"suite small\+small has no task 'moody'. Did you mean mood"):
        mixed(two[0], other, exclude=["moody"])


@pytest.mark.parametrize("side", META_SPLITS[1:])
def test_a_source_or_family_on_two_sides_of_two_suites_is_refused_and_both_ways_out_work(side):
    suites = {
        "here": suite_of("here", t1="SST", t2="other", t3="sst"),
        "there": suite_of("there", side, u1="sst", u2="more"),
    }
    with pytest.raises(UserError, match="share the source or family 'sst' across two sides") as raised:
        merge(suites)
    assert f"meta_train: t1 of here, t3 of here; {side}: u1 of there" in str(raised.value)
    assert way_out(raised.value)["exclude"] == ["t1", "t3"] and str(raised.value).endswith("--allow sst")
    allowed = merge(suites, allow=["Sst"])
    assert set(allowed.splits["meta_train"]) == {"t1", "t2", "t3"}
    assert allowed["t3"].family == "sst (meta_train)" and allowed["u1"].family == f"sst ({side})"
    assert merge(suites, allow=["t1", "t3"])["u1"].family == f"sst ({side})"
    with pytest.raises(UserError, match="share the source or family 'sst'"):
        merge(suites, allow=["t1"])


def test_what_one_suite_has_on_two_sides_by_itself_is_not_for_the_mixture_to_refuse():
    tasks = {name: own(toy_task(name).replace(source="shared"), "a") for name in ("t1", "t2")}
    parted = TaskSuite("a", tasks, {"meta_train": ("t1",), "meta_test": ("t2",)})
    assert len(merge({"a": parted, "b": suite_of("b", u1="else")}).tasks) == 3
    with pytest.raises(UserError, match=r"meta_train: t1 of a, u1 of b; meta_test: t2 of a"):
        merge({"a": parted, "b": suite_of("b", u1="shared")})


def test_a_source_that_is_its_suites_own_name_ties_nothing_also_in_an_audit(two):
    suites = {"a": suite_of("a", t1="a"), "b": suite_of("b", "meta_test", u1="a", u2="b")}
    merged = merge(suites)  # "a" is a data set in b only
    assert shared_sources(merged) == []
    embedded = SuiteConfig(["embedded", two[0]]).choose()
    assert shared_sources(embedded) == [] and embedded.name == "embedded+small"
    assert sum(len(names) for names in divide(embedded).sides().values()) == 81


@pytest.mark.parametrize("side", META_SPLITS[1:])
def test_examples_of_one_suite_in_held_out_tasks_of_another_are_refused_with_a_way_out(tmp_path, two, side):
    home = {"meta_validation": "taste", "meta_test": "topic"}[side]
    planted = [*rows("age", "train"), {"input": f"  {home.upper()} test item 1", "output": "good", "options": LABELS}]
    other = folder(tmp_path, "three", ("age", "size", "tone"), train=planted)
    with pytest.raises(
        UserError, match=rf"'{home} test item 1' in age \(meta_train\) and in {home} \({side}\)"
    ) as error:
        mixed(two[0], other)
    assert way_out(error.value) == {"exclude": ["age"]}
    assert "age" not in mixed(two[0], other, **way_out(error.value)).tasks
    report = audit_suite(SuiteConfig([two[0], other]).choose(), near=False, languages=False)
    (pair,) = [pair for pair in report.leaks if pair.relation == f"meta_train and {side}"]
    assert (pair.keep[0], pair.drop[0]) == (home, "age")


def test_the_same_data_under_another_name_is_refused(tmp_path, two):
    copied = {part: rows("topic", part) for part in ("train", "test")}
    other = folder(tmp_path, "three", ("renamed", "size", "tone"), **copied)
    with pytest.raises(UserError, match=r"12 examples of held-out tasks .* in renamed \(meta_train\) and in topic"):
        mixed(two[0], other)


def test_a_split_puts_a_mixture_on_other_sides(tmp_path, two):
    split = Split("mine", ("topic", "age"), ("mood",), ("tone", "size"))
    save_split(split, tmp_path / "mine.json")
    suite = mixed(*two, split=str(tmp_path / "mine.json"))
    assert suite.splits == split.sides() and "taste" not in suite.tasks
    fewer = mixed(*two, split=str(tmp_path / "mine.json"), exclude=["age"])
    assert fewer.splits["meta_train"] == ("topic",)
    save_split(replace(split, meta_train=("topics",)), tmp_path / "mine.json")
    with pytest.raises(UserError, match=r"no task 'topics'. Did you mean topic"):
        mixed(*two, split=str(tmp_path / "mine.json"))


def test_allow_is_refused_where_nothing_can_lie_on_two_sides():
    with pytest.raises(UserError, match=r"allow is .* changes nothing without split_file or several suites"):
        mixed("toys:toy_suite", allow=["x"])


def test_a_record_has_the_fingerprint_of_all_examples_where_some_are_left_out(tmp_path, two):
    long = {"input": "word " * 9, "output": "good", "options": LABELS}
    other = folder(tmp_path, "three", ("age", "size", "tone"), train=[*rows("age", "train"), long])
    whole, short = mixed(two[0], other), mixed(two[0], other, max_words=8, min_train=1, min_test=1)
    assert len(short["age"].examples("train")) == len(whole["age"].examples("train")) - 1
    assert data_record(whole.tasks.values()) == data_record(short.tasks.values())


@given(
    homes=st.lists(
        st.tuples(*map(st.sampled_from, ("abc", "xyz", META_SPLITS, ("s", "t", "")))), unique_by=lambda home: home[:2]
    )
)
def test_following_the_way_out_of_each_refusal_ends_in_a_mixture(homes):
    side_of = {(suite, source): side for suite, _, side, source in homes}  # in a suite a family is on one side
    suites = {}
    for name in {home[0] for home in homes}:
        tasks = {task: toy_task(task).replace(family=source) for suite, task, _, source in homes if suite == name}
        on = {task: side_of[name, made.family] for task, made in tasks.items()}
        suites[name] = TaskSuite(name, tasks, {side: tuple(t for t in on if on[t] == side) for side in META_SPLITS})
    for _ in range(len(homes) + 1):
        try:
            merged = merge(suites)
            break
        except UserError as error:
            gone = set(way_out(error)["exclude"])
            suites = {
                name: suite.replace_tasks(lambda t, name=name: None if {t.name, f"{name}/{t.name}"} & gone else t)  # noqa: B023
                for name, suite in suites.items()
            }
    assert len(merged.tasks) == sum(len(suite.tasks) for suite in suites.values())
    assert bool(merged.tasks) == bool(homes)


def test_the_wide_tasks_go_together_with_the_real_ones(realtasks):
    wide = realtasks.parent / "widetasks"
    if not wide.is_dir():
        pytest.skip("the folder of wide tasks is not here")
    suite = SuiteConfig([str(realtasks), str(wide)]).choose()
    assert len(suite.split("meta_train")) > 150 and suite.name == "realtasks+widetasks"
    assert suite.split("meta_test") == SuiteConfig([str(realtasks)]).choose().split("meta_test")
