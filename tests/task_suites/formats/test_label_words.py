"""Words for labels, and options by text or by letter: what is shown changes, options and answers stay."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toys import choice_task, toy_task

from examples import examples
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.choices import letter_names
from task_suites.formats.label_words import LABEL_WORDS
from task_suites.formats.presets import PRESETS
from task_suites.formats.prompt_format import PromptFormat, preset
from task_suites.formats.segments import Segment
from task_suites.task import Task

TASK = toy_task()
DEMO = Example("a fig", "fruit", ("fruit", "tool"))


def texts(segments: list[Segment]) -> list[str]:
    return [s.text for s in segments]


def labelled(labels: tuple[str, ...], name: str = "task") -> Task:
    return Task(name, "classification", lambda split: [Example("x", labels[0], labels)], labels=labels)


def test_a_verbalized_label_is_shown_by_its_word_and_stays_the_option():
    form = PromptFormat(verbalizer={"fruit": "to eat", "other": "unused"}).of(TASK)
    assert texts(form.demonstration(DEMO)) == ["a fig\nAnswer:", " to eat\n\n"]
    assert texts(form.branch(DEMO.hidden(), "fruit")) == ["a fig\nAnswer:", " to eat"]
    assert texts(form.branch(DEMO.hidden(), "tool"))[1] == " tool"
    assert form.targets(DEMO) == ["fruit", "tool"]


def test_words_under_a_tasks_name_are_that_tasks_alone():
    form = PromptFormat(verbalizer={"tool": "thing", "toy": {"fruit": "food"}})
    assert form.of(TASK).written(DEMO) == "food"
    other = toy_task("other")
    assert form.of(other).written(DEMO) == "fruit"
    assert form.of(other).written(Example("a saw", "tool", DEMO.options)) == "thing"
    assert form.of(TASK).written(Example("a saw", "tool", DEMO.options)) == "tool"


@pytest.mark.parametrize(
    ("verbalizer", "message"),
    [
        ({"toy": {"fruitt": "food"}}, "no label 'fruitt'. Did you mean fruit"),
        ({"fruit": "tool"}, "task toy: two answers would be written alike; found 'tool'"),
        ({"fruit": ""}, "label 'fruit' has no word"),
        ({"fruit": "two\nlines"}, "label 'fruit' has no word"),
        ({"toy": {"fruit": 3}}, "label 'fruit' has no word; found 3"),
    ],
)
def test_a_verbalizer_that_cannot_be_is_refused(verbalizer, message):
    with pytest.raises(UserError, match=message):
        PromptFormat(verbalizer=verbalizer).of(TASK)


def test_options_of_an_items_own_that_a_verbalizer_makes_alike_are_refused():
    task = choice_task()
    form = PromptFormat(verbalizer={"saw": "axe"}).of(task)
    with pytest.raises(UserError, match=r"two answers would be written alike; found 'axe'"):
        form.demonstration(Example("which?", "saw", ("saw", "axe")))
    assert form.written(Example("which?", "saw", ("saw", "fig"))) == "axe"


label_lists = st.lists(
    st.text("abcdé ", min_size=1, max_size=6).filter(str.strip),
    min_size=2,
    max_size=30,
    unique_by=lambda text: " ".join(text.split()),
)


@examples(100)
@given(label_lists, st.integers(0, 5), st.sampled_from(sorted(LABEL_WORDS)))
def test_label_words_are_one_injective_map_by_seed_and_task_alone(labels, seed, kind):
    task = labelled(tuple(labels))
    form = PromptFormat(label_words=kind, seed=seed)
    items = [Example("x", label, tuple(labels)) for label in labels]
    words = [form.of(task).written(e) for e in items]
    assert len(set(words)) == len(words)
    assert words == [form.of(labelled(tuple(labels))).written(e) for e in items]
    if kind == "own":
        assert words == labels
    if kind == "shuffled":
        assert sorted(words) == sorted(labels) and all(w != label for w, label in zip(words, labels, strict=True))
    if kind in ("arbitrary", "random"):
        assert not set(words) & set(labels)


@pytest.mark.parametrize("kind", ["arbitrary", "random"])
def test_other_seeds_and_tasks_have_other_words(kind):
    def words(seed, name):
        return PromptFormat(label_words=kind, seed=seed).of(toy_task(name)).written(DEMO)

    assert len({words(seed, "toy") for seed in range(8)}) > 4
    assert len({words(0, f"toy{i}") for i in range(8)}) > 4


def test_more_labels_than_arbitrary_words_are_refused_and_random_strings_reach():
    task = labelled(tuple(f"l{i}" for i in range(400)))
    with pytest.raises(UserError, match=r"too few arbitrary label words; found 400 labels"):
        PromptFormat(label_words="arbitrary").of(task)
    assert len(PromptFormat(label_words="random").of(task).bound.words) == 400


def test_options_of_each_items_own_keep_their_words():
    form = PromptFormat(label_words="arbitrary").of(choice_task())
    assert form.written(Example("which?", "saw", ("saw", "axe"))) == "saw"


def test_options_by_letter_are_exactly_this():
    form = preset("letters")
    assert texts(form.demonstration(DEMO)) == ["a fig\nA. fruit\nB. tool\nAnswer:", " A\n\n"]
    assert texts(form.branch(DEMO.hidden(), "tool")) == ["a fig\nA. fruit\nB. tool\nAnswer:", " B"]
    assert form.targets(DEMO) == ["fruit", "tool"]


def test_letters_follow_each_items_own_options():
    form = preset("letters")
    assert form.written(Example("which?", "saw", ("fig", "plum", "saw"))) == "C"
    assert form.written(Example("which?", "saw", ("saw", "fig"))) == "A"


def test_listed_options_are_exactly_this():
    form = preset("listed", verbalizer={"tool": "thing"}).of(TASK)
    assert texts(form.branch(DEMO.hidden(), "tool")) == ["a fig\n- fruit\n- thing\nAnswer:", " thing"]


def test_letters_of_a_channel_prompt_stand_before_the_input():
    form = preset("letters", channel=True)
    assert texts(form.branch(DEMO.hidden(), "tool")) == ["B\n", " a fig\nA. fruit\nB. tool"]


def test_an_answer_without_options_has_no_letter():
    form = preset("letters")
    assert texts(form.demonstration(Example("say hello", "hello"))) == ["say hello\nAnswer:", " hello\n\n"]


def test_options_beyond_z_have_two_letters_in_templates_too():
    options = tuple(map(str, range(705)))
    written = [preset("letters").written(Example("x", options[i], options)) for i in (0, 25, 26, 27, 51, 52, 701, 702)]
    assert written == ["A", "Z", "AA", "AB", "AZ", "BA", "ZZ", "AAA"]
    assert len(set(letter_names(20_000))) == 20_000


@pytest.mark.parametrize("name", sorted({*PRESETS} - {"chat"}))  # a chat: test_chat.py
@pytest.mark.parametrize("answer", ["fruit", "tool"])
def test_in_every_preset_one_segment_is_scored_and_demonstrations_share_the_question(name, answer):
    form, e = preset(name).of(TASK), Example("a fig", answer, ("fruit", "tool"))
    demo, branch = form.demonstration(e), form.branch(e.hidden(), answer)
    assert [s.scored for s in demo].count(True) == [s.scored for s in branch].count(True) == 1
    assert [s.text.removesuffix(form.separator) for s in demo] == [s.text for s in branch]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"choices": "leters"}, "unknown format.choices 'leters'. Did you mean letters"),
        ({"tagging": "bio"}, "unknown format.tagging"),
        ({"label_words": "arbitary"}, "Did you mean arbitrary"),
        ({"instruction_style": "x"}, "unknown format.instruction_style"),
        ({"channel": True, "chat": True}, "format.channel and format.chat do not go together"),
        ({"verbalizer": {"a": "b"}, "label_words": "random"}, "do not go together"),
        ({"template": "x"}, "no template 'x'"),
    ],
)
def test_values_that_cannot_be_are_refused(fields, message):
    with pytest.raises(UserError, match=message):
        PromptFormat(**fields)


def test_an_unknown_preset_offers_the_nearest():
    with pytest.raises(UserError, match=r"no format 'leters'\. Did you mean letters"):
        preset("leters")
