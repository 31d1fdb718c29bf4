"""The built-in suite: what it holds, that its sides stay apart, that it never changes, that its English is sound."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from task_suites.core.errors import UserError
from task_suites.embedded.family_files import read_families
from task_suites.embedded.generator import example_at, materialise, side_of
from task_suites.embedded.templates import parse
from task_suites.example import Example
from task_suites.sources.embedded import open_embedded
from task_suites.task import META_SPLITS, TASK_TYPES, Task

STORED = Path(__file__).parents[2] / "fixtures" / "embedded.json"
SUITE = open_embedded()
FAMILIES = read_families()
BLUEPRINTS = {f"{family.name}_{blueprint.name}": blueprint for family in FAMILIES for blueprint in family.blueprints}
TASKS = list(SUITE.tasks.values())
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


def all_examples(task: Task) -> list[Example]:
    return [*task.examples("train"), *task.examples("test")]


def draw_at(name: str, split: str, index: int) -> Example:
    return example_at(name, split, index, BLUEPRINTS[name].draw)


def apart(items: dict[str, set[str]]) -> list[str]:
    """The items that occur on more than one side of the meta-split."""
    sides = defaultdict(set)
    for side, group in items.items():
        for item in group:
            sides[item].add(side)
    return sorted(item for item, found in sides.items() if len(found) > 1)


def test_the_suite_has_enough_tasks_families_and_types_on_each_side():
    counts = {side: Counter(task.type for task in SUITE.split(side)) for side in META_SPLITS}
    families = {side: {task.family for task in SUITE.split(side)} for side in META_SPLITS}
    assert len(TASKS) >= 56 and sum(len(SUITE.split(side)) for side in META_SPLITS) == len(TASKS)
    assert [len(families[side]) for side in META_SPLITS] == [8, 2, 4]
    assert [sum(counts[side].values()) >= n for side, n in zip(META_SPLITS, (32, 8, 18), strict=True)] == [True] * 3
    assert set(counts["meta_train"]) == set(TASK_TYPES)
    assert {"tagging", "generation"} <= set(counts["meta_validation"]) & set(counts["meta_test"])
    assert sum(task.form == "options" for task in SUITE.split("meta_test")) >= 15


def test_every_task_carries_its_metadata():
    for task in TASKS:
        assert task.family and task.domain and task.instruction and task.description, task.name
        assert (task.source, task.licence) == ("embedded", "Apache-2.0")
        assert "\n" not in task.instruction


def test_no_family_lies_on_two_sides():
    assert not apart({side: {task.family for task in SUITE.split(side)} for side in META_SPLITS})


def test_no_label_word_is_shared_between_sides():
    assert not apart(
        {side: {w for t in SUITE.split(side) for lb in t.labels for w in lb.casefold().split()} for side in META_SPLITS}
    )


def test_no_template_is_shared_between_sides():
    def skeleton(template: str) -> str:
        return "".join(part if isinstance(part, str) else "_" for part in parse(template)).casefold()

    assert not apart(
        {
            side: {skeleton(t) for f in FAMILIES if f.side == side for b in f.blueprints for t in b.templates}
            for side in META_SPLITS
        }
    )


def test_no_five_words_in_a_row_are_shared_between_sides():
    def shingles(side: str) -> set[str]:
        texts = (re.findall(r"\w+", e.text.casefold()) for task in SUITE.split(side) for e in all_examples(task))
        return {" ".join(words[i : i + 5]) for words in texts for i in range(len(words) - 4)}

    assert not apart({side: shingles(side) for side in META_SPLITS})


def test_held_out_examples_do_not_leak_into_meta_training():
    SUITE.assert_no_leak()


@every_task
def test_every_task_uses_at_least_eight_templates(task):
    assert len(set(BLUEPRINTS[task.name].templates)) >= 8


@every_task
def test_train_and_test_are_full_distinct_and_disjoint(task):
    train, test = ([e.content for e in task.examples(split)] for split in ("train", "test"))
    assert (len(set(train)), len(set(test))) == (len(train), len(test)) == (320, 160)
    assert not set(train) & set(test)
    assert {side_of(content) for content in train} == {"train"} and {side_of(content) for content in test} == {"test"}


@every_task
def test_a_task_has_thousands_of_distinct_inputs(task):
    drawn = {draw_at(task.name, "train", index).content for index in range(200)}
    assert len(drawn) >= 190  # 200 draws from n equally likely inputs collide about 20,000 / n times


@every_task
def test_classes_are_balanced_and_all_present(task):
    if task.form != "options":
        return
    train = task.examples("train")
    if task.type == "multiple_choice":
        number = len(train[0].options)
        counts = Counter(e.options.index(e.output) for e in train)
        assert 2 <= number <= 4
    else:
        number, counts = len(task.labels), Counter(e.output for e in train)
        assert 2 <= number <= 6 and {e.options for e in train} == {task.labels}
    assert len(counts) == number and min(counts.values()) >= 32
    assert max(counts.values()) <= 1.6 * min(counts.values())


@every_task
def test_answers_to_open_questions_are_short(task):
    if task.type != "generation":
        return
    for e in all_examples(task):
        assert 1 <= len(e.output.split()) <= 5
        assert task.labels or e.output.casefold() in e.input.casefold() or len(e.output.split()) == 1


@every_task
def test_tags_cover_every_type_and_follow_bio(task):
    if task.form != "tags":
        return
    seen = Counter(tag[2:] for e in all_examples(task) for tag in e.tags if tag.startswith("B-"))
    assert set(seen) == set(task.labels) and min(seen.values()) >= 100
    for e in all_examples(task):
        for before, tag in zip(("O", *e.tags), e.tags, strict=False):
            assert not tag.startswith("I-") or before[1:] == tag[1:], e


@every_task
def test_relation_and_event_texts_mark_their_entities(task):
    marks = {"relation": ("E1", "E2"), "event": ("T",)}.get(task.type, ()) if task.form == "options" else ()
    for e in all_examples(task):
        for mark in ("E1", "E2", "T"):
            expected = int(mark in marks)
            assert (e.text.count(f"[{mark}] "), e.text.count(f" [/{mark}]")) == (expected, expected), e


@every_task
def test_the_english_is_sound_on_the_surface(task):
    for e in all_examples(task):
        text = e.text
        plain = re.sub(r"\[/?(?:E1|E2|T)\] ?", "", text)
        assert not re.search(r"\s\s|[{}<>|_@]|\.\.|,,|[?!][.,]|\bthe (?:a|an|the)\b|\b(\w+) \1\b", plain), text
        assert not re.search(r"\ba (?!ewe|one)[aeio]\w|\ban [bcdfgjklmnpqrstvwz]", plain, re.I), text
        assert plain[0].isupper() or plain[0] in "\"'0123456789", text
        assert text.endswith((".", "?", "!", '"')), text
        assert e.tokens or 8 <= len(text.split()) <= 30, text
        assert text.count('"') % 2 == 0, text
        assert not re.search(r"[.?!] [a-z]", plain), text


def test_examples_depend_on_task_split_and_index_only():
    names = [TASKS[0].name, TASKS[-1].name]
    expected = [draw_at(name, split, 7) for name in names for split in ("test", "train")]
    for index in range(5):
        draw_at(names[0], "train", index)
    assert [draw_at(name, split, 7) for name in names for split in ("test", "train")] == expected
    code = (
        "from task_suites.sources.embedded import open_embedded; s = open_embedded();"
        f"print([s[n].fingerprint() for n in {names!r}])"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert fresh.strip() == str([SUITE[name].fingerprint() for name in names])


def test_opening_the_suite_draws_nothing_and_imports_no_model_library():
    code = (
        "import sys; from task_suites.sources.embedded import open_embedded; s = open_embedded();"
        "assert not any(t._loaded for t in s.tasks.values());"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_a_generator_that_repeats_itself_is_refused():
    with pytest.raises(UserError, match="too few distinct"):
        materialise(
            "tiny", "train", lambda rng: Example(input=f"one two three four five six seven {rng.randrange(40)}")
        )
    with pytest.raises(UserError, match="unknown split"):
        materialise("tiny", "dev", lambda rng: Example(input="x"))
    with pytest.raises(UserError, match="attempts"):
        example_at("tiny", "train", 0, lambda rng: Example(input="too short"))


def published() -> dict[str, dict[str, object]]:
    """What must never change: the fingerprint of each task, and the tasks of each side in their order."""
    return {
        "fingerprints": {task.name: task.fingerprint() for task in TASKS},
        "sides": {side: [task.name for task in SUITE.split(side)] for side in META_SPLITS},
    }


def test_the_data_are_those_that_were_published():
    """Where it fails, data have changed; `published()` is the new file. Say so in the change log."""
    assert json.loads(STORED.read_text(encoding="utf-8")) == published()
