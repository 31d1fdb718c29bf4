"""Examples, tasks and suites: what is refused at the door, and what a task's identity is made of."""

from __future__ import annotations

import sys
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import choice_task, tag_task, text_task, toy_suite, toy_task

from task_suites.core.errors import UserError, nearest
from task_suites.example import Example
from task_suites.parts import StoredExamples, content_key
from task_suites.task import Task, TaskSuite

CHOICE = Example("Is it warm?", "yes", ("yes", "no"))
TEXT = Example("Say hello.", "hello")
CHOICE_TIE = replace(CHOICE, accepted=("no",))
TAGS = Example(tokens=("Ann", "Lee", "left"), tags=("B-PER", "I-PER", "O"))


def task_of(*train: Example, name: str = "t", test: tuple[Example, ...] | None = None, **keys: object) -> Task:
    parts = {"train": train, "test": train if test is None else test}
    return Task(name, "classification", parts.__getitem__, **keys)  # type: ignore[arg-type]


def test_the_form_of_an_example_follows_from_what_it_holds():
    assert [e.form for e in (CHOICE, TEXT, TAGS)] == ["options", "text", "tags"]
    assert [e.hidden().form for e in (CHOICE, TEXT, TAGS)] == ["options", "text", "tags"]
    assert TAGS.text == "Ann Lee left"


def test_a_hidden_example_keeps_the_question_and_loses_the_answer():
    assert CHOICE.hidden() == Example("Is it warm?", None, ("yes", "no"))
    assert TEXT.hidden() == Example("Say hello.")
    assert TAGS.hidden() == Example(tokens=TAGS.tokens)


def test_content_ignores_case_white_space_and_the_answer():
    other = Example("  IS it\n warm? ", "no", ("no", "yes", "maybe"))
    assert other.content == CHOICE.content == "is it warm?"
    assert Example(tokens=("STRASSE",), tags=("O",)).content == Example("straße").content


@pytest.mark.parametrize("example", [CHOICE, TEXT, TAGS, replace(TEXT, accepted=("hi", "hello")), CHOICE_TIE])
def test_a_sound_example_has_no_problem(example):
    assert example.problem() is None


@pytest.mark.parametrize(
    ("example", "problem"),
    [
        (replace(CHOICE, input=" \n"), "the input is empty"),
        (replace(CHOICE, output=None), "the output is empty"),
        (replace(TEXT, output=" "), "the output is empty"),
        (replace(TEXT, output="one\ntwo"), "several lines"),
        (replace(TEXT, tags=("O",)), "tags without tokens"),
        (replace(TEXT, input="half \ud83d"), "not Unicode"),
        (replace(TAGS, tags=("O", "O", "B-\ud83d")), "not Unicode"),
        (replace(CHOICE, options=("yes", "yes")), "at least two options, all different"),
        (replace(CHOICE, options=("yes",)), "at least two options, all different"),
        (replace(CHOICE, options=("yes", " ")), "an option is empty"),
        (replace(CHOICE, output="perhaps"), "lack the answer"),
        (replace(TAGS, tokens=(), tags=()), "no tokens"),
        (replace(TAGS, tags=None), "differ in number"),
        (replace(TAGS, tags=("O", "O")), "differ in number"),
        (replace(TAGS, tokens=("Ann Lee", "has", "left")), "white space"),
        (replace(TAGS, tokens=("Ann", "", "left")), "white space"),
        (replace(TAGS, input="Ann Lee left"), "tokens beside input"),
        (replace(TAGS, options=("a", "b")), "tokens beside input"),
        *(
            (replace(TAGS, tags=("O", "O", tag)), "not a BIO tag")
            for tag in ["B-", "I-", "PER", "b-PER", "S-PER", "B-a=b", "B-a;b"]
        ),
        (replace(TAGS, tags=("O", "O", "")), "not a BIO tag"),
        (replace(TAGS, tags=("O", "O", "B- PER")), "not a BIO tag"),
        (replace(TEXT, accepted=("hi", "one\ntwo")), "an accepted answer is empty or has several lines"),
        (replace(TEXT, accepted=(" ",)), "an accepted answer is empty or has several lines"),
        (replace(TEXT, accepted=("half \ud83d",)), "not Unicode"),
        (replace(CHOICE, accepted=("maybe",)), "the options lack an accepted answer"),
        (replace(TAGS, accepted=("O",)), "tokens beside input"),
    ],
)
def test_an_unsound_example_names_its_problem(example, problem):
    found = example.problem()
    assert found is not None and problem in found[0]
    with pytest.raises(UserError, match=f"task t, train example 2: .*{problem}"):
        task_of(CHOICE, example).examples("train")


def test_options_outside_of_the_tasks_labels_are_refused():
    assert CHOICE.problem(("no", "yes", "maybe")) is None
    assert CHOICE.problem(("yes", "never")) == ("unknown label", "'no'", "one of ['yes', 'never']")
    assert TEXT.problem(("yes", "no"))[0] == "the options are missing"
    assert TAGS.problem(("PER",)) is None


def test_unknown_types_and_metrics_offer_the_nearest():
    with pytest.raises(UserError, match=r"unknown type 'clasification'. Did you mean classification"):
        Task("t", "clasification", lambda split: [])  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"unknown metric 'acc_uracy'. Did you mean accuracy"):
        Task("t", "tagging", lambda split: [], metric="acc_uracy")  # type: ignore[arg-type]


def test_a_label_that_occurs_twice_is_refused():
    with pytest.raises(UserError, match="labels occur twice"):
        task_of(CHOICE, labels=("yes", "no", "yes"))


def test_an_empty_split_is_refused():
    with pytest.raises(UserError, match="the test split is empty"):
        task_of(CHOICE, test=()).examples("test")


@pytest.mark.parametrize("first", ["train", "test"])
def test_a_task_of_two_forms_is_refused_whichever_split_is_read_first(first):
    task = task_of(CHOICE, test=(TEXT,))
    task.examples(first)
    with pytest.raises(UserError, match=r"different forms; found \['options', 'text'\]"):
        task.examples("test" if first == "train" else "train")


def test_examples_are_loaded_once():
    calls = []
    task = Task("t", "generation", lambda split: calls.append(split) or [TEXT])
    for _ in range(3):
        task.examples("train"), task.examples("test")
    assert calls == ["train", "test"] and task.form == "text"


def test_a_load_that_failed_is_tried_again():
    answers = [(), (TEXT,)]
    task = Task("t", "generation", lambda split: answers.pop(0))
    with pytest.raises(UserError, match="empty"):
        task.examples("train")
    assert task.examples("train") == (TEXT,)


def test_a_variant_loads_afresh_and_leaves_the_task_alone():
    task = toy_task(size=10)
    before = task.examples("train")
    variant = task.replace(name="other", load=lambda split: [CHOICE], labels=())
    assert variant.examples("train") == (CHOICE,) and variant.name == "other"
    assert task.examples("train") == before
    with pytest.raises(TypeError):
        task.replace(instructions="x")


def test_keep_filters_both_splits_in_order():
    task = toy_task(size=10).keep(lambda e: e.output == "tool")
    for split in ("train", "test"):
        assert [e.text.split()[1] for e in task.examples(split)] == ["1:", "3:", "5:", "7:", "9:"]


@pytest.mark.parametrize(
    "change",
    [
        lambda e: replace(e, input=e.input + "."),
        lambda e: replace(e, input=e.input.upper()),
        lambda e: replace(e, output=next(o for o in e.options if o != e.output)),
        lambda e: replace(e, options=e.options[::-1]),
        lambda e: replace(e, options=(*e.options, "more")),
    ],
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_the_fingerprint_changes_with_any_part_of_an_example(change, part):
    task = choice_task(size=8)
    parts = {p: list(task.examples(p)) for p in ("train", "test")}
    assert task.replace(load=parts.get).fingerprint() == task.fingerprint()
    changed = {**parts, part: [change(parts[part][0]), *parts[part][1:]]}
    assert task.replace(load=changed.get).fingerprint() != task.fingerprint()


def test_the_fingerprint_changes_with_tags_order_and_side():
    task = tag_task(size=8)
    train, test = task.examples("train"), task.examples("test")
    flat = [replace(e, tags=("O",) * len(e.tokens)) for e in train]
    variants = [(train, test), (flat, test), (train[::-1], test), (test, train), (train[:-1], test)]
    prints = {task.replace(load={"train": a, "test": b}.get).fingerprint() for a, b in variants}
    assert len(prints) == len(variants)


def test_a_suite_answers_by_name_and_split():
    suite = toy_suite()
    assert [t.name for t in suite.split("meta_test")] == ["test0", "test1"]
    assert suite["val"].name == "val"
    with pytest.raises(UserError, match=r"no task 'trian1'. Did you mean train1"):
        suite["trian1"]
    with pytest.raises(UserError, match=r"unknown meta-split 'meta_tets'. Did you mean meta_test"):
        suite.split("meta_tets")


def suite_of(splits: dict[str, tuple[str, ...]], **families: str) -> TaskSuite:
    tasks = {name: text_task(name).replace(family=family) for name, family in families.items()}
    return TaskSuite("s", tasks, splits)


def test_a_task_on_two_sides_is_refused():
    with pytest.raises(UserError, match="task a is on two sides of the split; found meta_train and meta_test"):
        suite_of({"meta_train": ("a",), "meta_test": ("a", "b")}, a="", b="")


def test_a_family_on_two_sides_is_refused():
    with pytest.raises(UserError, match="family news is on two sides"):
        suite_of({"meta_train": ("a",), "meta_test": ("b",)}, a="news", b="news")
    assert suite_of({"meta_train": ("a", "b"), "meta_test": ("c",)}, a="news", b="news", c="")


def test_tasks_without_a_family_may_lie_on_different_sides():
    assert suite_of({"meta_train": ("a",), "meta_test": ("b",)}, a="", b="").split("meta_test")


def test_a_split_that_names_an_absent_task_or_one_twice_or_is_unknown_is_refused():
    with pytest.raises(UserError, match=r"no task 'moods'. Did you mean mood"):
        suite_of({"meta_test": ("moods",)}, mood="")
    with pytest.raises(UserError, match="meta_test names a task twice"):
        suite_of({"meta_test": ("a", "a")}, a="")
    with pytest.raises(UserError, match=r"unknown split 'train'. Did you mean meta_train"):
        suite_of({"train": ("a",)}, a="")


def test_a_task_under_another_name_is_refused():
    with pytest.raises(UserError, match="the task 'text' is stored under the name 'a'"):
        TaskSuite("s", {"a": text_task()}, {})


def test_replacing_tasks_leaves_out_and_keeps_sides():
    suite = toy_suite().replace_tasks(lambda t: None if t.name in ("train1", "val") else t.replace(domain="x"))
    assert list(suite.tasks) == ["train0", "train2", "test0", "test1"]
    assert [t.name for t in suite.split("meta_train")] == ["train0", "train2"] and not suite.split("meta_validation")
    assert {t.domain for t in suite.tasks.values()} == {"x"}


def plant(suite: TaskSuite, home: str, split: str, example: Example) -> TaskSuite:
    def change(task: Task) -> Task:
        if task.name != home:
            return task
        planted = Example(example.input, task.labels[0], task.labels)
        return task.replace(load=lambda s: (*task.examples(s), planted) if s == split else task.examples(s))

    return suite.replace_tasks(change)


def test_a_suite_without_a_leak_passes():
    toy_suite().assert_no_leak()


@pytest.mark.parametrize("held_out", ["val", "test1"])
@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.parametrize("where", ["train", "test"])
def test_a_leak_across_the_meta_split_is_found_on_any_side_and_named(held_out, part, where):
    suite = toy_suite()
    item = suite[held_out].examples(part)[3]
    leaky = plant(suite, "train1", where, replace(item, input=f"  {item.input.upper()}  "))
    with pytest.raises(UserError) as raised:
        leaky.assert_no_leak()
    assert "1 examples of held-out tasks" in str(raised.value)
    assert f"{item.content!r} in train1 (meta_train) and in {held_out}" in str(raised.value)


def test_a_duplicate_within_one_side_is_no_leak_across_the_split():
    suite = toy_suite()
    plant(suite, "test0", "train", suite["test1"].examples("test")[0]).assert_no_leak()
    plant(suite, "train0", "train", suite["train1"].examples("test")[0]).assert_no_leak()


def test_an_error_says_where_what_found_expected_and_the_way_out():
    error = UserError("it broke", where="a.yaml:3", found=4, expected=5, fix="Mend it.")
    assert str(error) == "a.yaml:3: it broke; found 4; expected 5. Mend it."
    assert str(UserError("it broke")) == "it broke" and isinstance(error, ValueError)


def test_nearest_lists_all_names_when_none_is_near():
    assert nearest("acuracy", ("accuracy", "rouge_l")) == "Did you mean accuracy?"
    assert nearest("zzz", ("b", "a")) == "Known: a, b."
    assert nearest("zzz", [f"n{i:02}" for i in range(20)]).endswith("n18, n19.")
    assert nearest("s", ["icl", "majority", "snail"]) == "Known: snail, icl, majority."
    many = [f"task{i:03}" for i in range(100)] + ["zoo_of_animals", "in_the_zoo"]
    assert nearest("zoo", many).startswith("Known, nearest first: zoo_of_animals, in_the_zoo, task")
    assert nearest("zoo", many).endswith(" and 82 more.")


# -- what draws ask of a part ----------------------------------------------------------------------------------------


def test_an_index_finds_positions_by_output_and_by_content():
    index = task_of(
        Example("One", "a", ("a", "b")), Example("two", "b", ("a", "b")), Example(" one ", "b", ("b", "a"))
    ).index("train")
    assert {output: list(places) for output, places in index.by_output.items()} == {"a": [0], "b": [1, 2]}
    assert index.outputs == ["a", "b", "b"] and index.common_options == ("a", "b")
    assert index.find(["one"]) == {0, 2} and index.find(["two", "three"]) == {1} and index.find([]) == set()


@pytest.mark.parametrize("options", [("a", "c"), ("a", "b", "c")])
def test_options_that_differ_are_not_common(options):
    other = Example("two", "a", options)
    assert task_of(Example("one", "a", ("a", "b")), other).index("train").common_options == ()


def test_an_index_is_made_once_and_belongs_to_its_task():
    task = task_of(Example("one", "a", ("a", "b")))
    assert task.index("train") is task.index("train")
    assert task.replace().index("train") is not task.index("train")


def _normal(text: str) -> str:
    return " ".join(text.casefold().split())


@given(st.text(st.sampled_from("aAß \t\n\xa0\u2028\x1c.") | st.characters(codec="utf-8")))
def test_content_is_the_casefolded_words_joined_by_blanks(text):
    assert Example(text).content == _normal(text)


def test_no_printable_character_but_the_blank_is_white_space():
    assert [c for c in map(chr, range(sys.maxunicode + 1)) if c.isspace() and c.isprintable()] == [" "]  # `content`


def test_a_kept_content_changes_neither_equality_nor_hash_nor_copies():
    a, b = (Example(" The  Item", "a", ("a", "b")) for _ in range(2))
    assert a.content == "the item" and a == b and hash(a) == hash(b) and repr(a) == repr(b)
    assert replace(a, input="Other").content == "other" and a.hidden().content == "the item"
    assert asdict(a).keys() == {field.name for field in fields(Example)}


class Counted(StoredExamples):
    """Examples on disk, as a task sees them; counts how many are made."""

    def __init__(self, examples):
        self.held, self.made = tuple(examples), 0

    def __len__(self):
        return len(self.held)

    def __getitem__(self, at):
        self.made += len(self.held[at]) if isinstance(at, slice) else 1
        return self.held[at]

    def outputs(self):
        return [e.output for e in self.held]

    def content_keys(self):
        return np.array([content_key(e.content) for e in self.held], dtype=np.uint64)


def test_stored_examples_stay_where_they_are_and_answer_as_those_in_memory():
    made = [Example(f"item {i // 2}", "ab"[i % 2], ("a", "b")) for i in range(50)]
    stored = Counted(made)
    task = task_of(*made).replace(load=lambda split: stored)
    assert task.examples("train") is stored and stored.made == 1 and task.form == "options"
    memory = task_of(*made)
    assert task.index("train").by_output == memory.index("train").by_output
    assert task.index("train").find(["item 3", "item 20"]) == memory.index("train").find(["item 3", "item 20"])
    assert stored.made < 10


def test_stored_suites_are_checked_for_leaks_by_their_keys_alone():
    def kept(name: str, *texts: str) -> tuple[Task, Counted]:
        examples = Counted([Example(text, "a", ("a", "b")) for text in texts])
        return Task(name, "classification", lambda split: examples), examples

    (train, trained), (test, held) = (
        kept("train", *map(str, range(99))),
        kept("test", "three", *map(str, range(99, 200))),
    )
    splits = {"meta_train": ("train",), "meta_test": ("test",)}
    TaskSuite("s", {"train": train, "test": test}, splits).assert_no_leak()
    assert trained.made + held.made < 9  # the first of each part, whose form is looked at
    leaky, _ = kept("train", "one", "THREE")
    with pytest.raises(UserError, match="'three' in train"):
        TaskSuite("s", {"train": leaky, "test": test}, splits).assert_no_leak()
