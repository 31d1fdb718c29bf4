"""Splits over tasks: functions of names and seed, no source on two sides unless it is allowed by name."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from metaicl.cli.main import main
from task_suites.audit.run import shared_sources
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.sources import SuiteConfig, open_suite
from task_suites.splits import (
    KEYS,
    SETTINGS,
    Split,
    apply,
    data_set,
    divide,
    grouped,
    load_split,
    nested,
    overlaps,
    save_split,
)
from task_suites.task import META_SPLITS, Task, TaskSuite


def load(part: str) -> list[Example]:
    return [Example(f"{part} {i}", "yes", ("yes", "no")) for i in range(3)]


def task(name: str, source: str = "", family: str = "", domain: str = "") -> Task:
    return Task(name, "classification", load, labels=("yes", "no"), source=source, family=family, domain=domain)


def suite(*tasks: Task) -> TaskSuite:
    return TaskSuite("toy", {t.name: t for t in tasks}, {})


TASKS = [task(f"t{i}", f"source {i // 2}", f"family {i // 4}", f"domain {i // 8}") for i in range(48)]
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
    with pytest.raises(UserError, match="1 group by task; expected at least one for each of"):
        divide(tasks, "task")
    split = divide(tasks, "task", allow=["One source"])
    assert sorted(map(len, split.sides().values())) == [1, 2, 6]
    with pytest.raises(UserError, match="the source 'one source' lies on two sides"):
        apply(suite(*tasks), split)
    assert {s: len(apply(suite(*tasks), split, allow=["one source"]).split(s)) for s in META_SPLITS} == {
        "meta_train": 6,
        "meta_validation": 1,
        "meta_test": 2,
    }


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"by": "sauce"}, "no split by 'sauce'. Did you mean source"),
        ({"shares": {"meta_trian": 1.0}}, "unknown meta-split 'meta_trian'. Did you mean meta_train"),
        ({"shares": {"meta_train": 0.7}}, "numbers from 0 that add up to 1"),
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
    with pytest.raises(UserError, match="3 groups by task; expected enough for each fold"):
        nested([task("a"), task("b"), task("c")], 3, 3, by="task")
    with pytest.raises(UserError, match="found outer 1, inner 2; expected at least 2 of each"):
        nested(TASKS, 1, 2)


def test_a_split_survives_its_file(tmp_path):
    split = divide(TASKS)
    save_split(split, tmp_path / "mine.json")
    assert load_split(tmp_path / "mine.json") == split == load_split(str(tmp_path / "mine.json"))


def test_a_suite_that_names_itself_as_the_source_is_split_by_its_families():
    embedded = open_suite("embedded")
    split = divide(embedded, "family", seed=1)
    sides = [{embedded[name].family for name in names} for names in split.sides().values()]
    assert all(sides) and sum(map(len, sides)) == len({t.family for t in embedded.tasks.values()})
    applied = apply(embedded, split)
    assert shared_sources(applied) == [] and applied.name == "embedded/by_family_1"
    assert {s: len(names) for s, names in applied.splits.items()} == {s: len(n) for s, n in split.sides().items()}


def test_the_command_prints_a_split_and_writes_files_that_suites_open_with(tmp_path, capsys):
    main(["suites", "split", "--by", "domain", "--seed", "3"])
    printed = capsys.readouterr().out
    main(["suites", "split", "--by", "domain", "--seed", "3", "--output", str(tmp_path / "mine.json")])
    assert (tmp_path / "mine.json").read_text() == printed
    split = divide(open_suite("embedded"), "domain", seed=3)
    assert load_split(tmp_path / "mine.json") == split
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'mine.json'}: {len(split.meta_train)} meta_train, ")
    suite, _ = SuiteConfig(split=str(tmp_path / "mine.json"), forms=["options"]).open()
    assert {t.name for t in suite.split("meta_test")} <= set(split.meta_test) and suite.split("meta_train")
    main(["suites", "list", "--split_file", str(tmp_path / "mine.json")])
    assert capsys.readouterr().out.startswith("embedded/by_domain_3: 78 tasks\n")


def test_the_command_writes_folds_into_a_new_folder(tmp_path, capsys):
    words = ["suites", "split", "--folds", "[3, 2]"]
    main(words)
    assert [s["name"] for s in json.loads(capsys.readouterr().out)][:3] == ["fold1-1", "fold1-2", "fold2-1"]
    main([*words, "--output", str(tmp_path / "folds")])
    assert sorted(p.name for p in (tmp_path / "folds").iterdir()) == [
        f"fold{i}-{j}.json" for i in (1, 2, 3) for j in (1, 2)
    ]
    assert load_split(tmp_path / "folds/fold3-2.json") == nested(open_suite("embedded"), 3, 2)[-1]
    with pytest.raises(SystemExit):
        main([*words, "--output", str(tmp_path / "folds")])
    assert "the target is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "not an object; found list"),
        ('{"meta_trian": []}', "unknown key 'meta_trian'. Did you mean meta_train"),
        ('{"meta_train": "t1"}', "meta_train has a wrong type; found 't1'; expected a list of task names"),
        ('{"meta_train": [1]}', "meta_train has a wrong type"),
        ('{"name": ["x"]}', "name has a wrong type"),
        ('{"meta_train"', "not JSON"),
    ],
)
def test_a_wrong_split_file_is_refused_with_its_name(tmp_path, content, message):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(UserError, match=rf"bad.json(:\d+)?: .*{message}"):
        load_split(tmp_path / "bad.json")


def test_an_unknown_split_offers_the_settings():
    with pytest.raises(UserError, match=r"no split 'hr_to_rl'. Did you mean hr_to_lr"):
        load_split("hr_to_rl")


# --- MetaICL's settings -----------------------------------------------------------------------------------------------

SIZES = {  # (meta-training tasks, target tasks) in table 1 of the paper
    "hr_to_lr": (61, 26),
    "class_to_class": (43, 20),
    "non_class_to_class": (37, 20),
    "qa_to_qa": (37, 22),
    "non_qa_to_qa": (33, 22),
    "non_nli_to_nli": (55, 8),
    "non_para_to_para": (59, 4),
}


def test_the_settings_have_the_sizes_that_the_paper_gives():
    assert {p.stem for p in SETTINGS.glob("*.json")} == set(SIZES)
    for name, sizes in SIZES.items():
        split = load_split(name)
        assert (len(split.meta_train), len(split.meta_test)) == sizes and split.name == name
        assert len(set(split.meta_train)) == sizes[0] and len(set(split.meta_test)) == sizes[1]
        assert split.unseen_domain and set(split.unseen_domain) <= set(split.meta_test)


def test_one_setting_has_a_task_on_both_sides_and_two_have_a_data_set():
    found = {name: [(o.what, o.name) for o in overlaps(load_split(name))] for name in SIZES}
    assert {name: pairs for name, pairs in found.items() if pairs} == {
        "non_nli_to_nli": [("task", "sick"), ("source", "sick")],
        "class_to_class": [("source", "ethos")],
        "qa_to_qa": [("source", "wino_grande")],
    }


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("unifiedqa:winogrande_xl", "wino_grande"),
        ("wino_grande", "wino_grande"),
        ("superglue-rte", "glue-rte"),
        ("race-high", "race"),
        ("unifiedqa:race_string", "race"),
        ("ethos-race", "ethos"),
        ("unifiedqa:qasc_with_ir", "qasc"),
    ],
)
def test_the_data_set_behind_a_name(name, source):
    assert data_set(name) == source


def test_a_setting_is_applied_to_a_suite_that_has_its_tasks_and_its_overlap_must_be_allowed():
    split = load_split("non_nli_to_nli")
    tasks = suite(*(task(name, data_set(name)) for name in {*split.meta_train, *split.meta_test}))
    with pytest.raises(UserError, match=r"the task 'sick' lies on two sides; found meta_train: sick; meta_test: sick"):
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
