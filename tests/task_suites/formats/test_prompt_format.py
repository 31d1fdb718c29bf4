"""Prompts as text: what stands where, what is scored, and tags to text and back."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sentences import tagged_sentences

from examples import examples
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat, preset
from task_suites.formats.segments import Segment
from task_suites.formats.tagging import parse_tags, spans
from task_suites.sources import open_suite
from task_suites.task import Illustration, Task

DEMOS = (
    Example("A fine day.", "good", ("good", "bad")),
    Example("Rain again.", "bad", ("good", "bad")),
)
QUERY = Example("Some sun.", None, ("good", "bad"))
TAGGED = Example(tokens=("Ann", "Lee", "left", "Rome"), tags=("B-PER", "I-PER", "O", "B-LOC"))
TASK = Task("mood", "classification", lambda part: DEMOS, instruction="Name the mood.", labels=("good", "bad"))


def prompt(form: PromptFormat, query: Example, answer: str) -> str:
    segments = [*form.opening(TASK), *(s for e in DEMOS for s in form.demonstration(e)), *form.branch(query, answer)]
    return "".join(s.text for s in segments)


def test_the_direct_prompt_is_exactly_this():
    text = "A fine day.\nAnswer: good\n\nRain again.\nAnswer: bad\n\nSome sun.\nAnswer: good"
    assert prompt(PromptFormat(), QUERY, "good") == text


def test_the_channel_prompt_is_exactly_this():
    text = "good\n A fine day.\n\nbad\n Rain again.\n\nbad\n Some sun."
    assert prompt(PromptFormat(channel=True), QUERY, "bad") == text


@pytest.mark.parametrize("channel", [False, True])
def test_the_instruction_comes_first_where_it_is_wanted(channel):
    plain = prompt(PromptFormat(channel=channel), QUERY, "good")
    assert prompt(PromptFormat(channel=channel, instruction=True), QUERY, "good") == "Name the mood.\n\n" + plain
    assert PromptFormat(instruction=True).opening(TASK.replace(instruction="")) == []


def test_the_text_of_the_plain_formats_is_what_results_were_measured_with():
    digest = hashlib.sha256()
    for task in open_suite("embedded").tasks.values():
        for form in (PromptFormat(), PromptFormat(channel=True), PromptFormat(instruction=True)):
            if form.channel and task.form != "options":
                continue
            segments = [*form.opening(task), *(s for e in task.examples("train")[:5] for s in form.demonstration(e))]
            for e in task.examples("test")[:2]:
                segments += [s for answer in form.targets(e) for s in form.branch(e, answer)]
            digest.update(repr([(s.role, s.text, s.scored) for s in segments]).encode())
    assert digest.hexdigest() == "89142cca449ab6d395ea95a320d544e4a0296d5d066b44ad9e5b5e8c1db47cbf"


DEFINED = TASK.replace(
    positive=(Illustration("Sun!", "good", "Sun is fine"), Illustration("Ah.", "good"), Illustration("x", "bad")),
    negative=(Illustration("Hail?", "good", "It is bad!"),),
)


def test_a_definition_is_shown_as_super_natural_instructions_has_it():
    form = preset("natural-instructions", explanations=True).of(DEFINED)
    assert form.opening(DEFINED) == [
        Segment(
            "instruction",
            "Definition: Name the mood.\n\n"
            " Positive Example 1 -\nInput: Sun!\n Output: good.\n Explanation: Sun is fine.\n\n"
            " Positive Example 2 -\nInput: Ah.\n Output: good.\n\n"
            " Negative Example 1 -\nInput: Hail?\n Output: good.\n Explanation: It is bad!\n\n"
            "Now complete the following example -\n",
        )
    ]
    assert [s.text for s in form.branch(QUERY, "bad")] == ["Input: Some sun.\nOutput:", " bad"]


def test_a_definition_shows_as_many_examples_as_it_is_told():
    def shown(**fields):
        text = preset("definition", **fields).opening(DEFINED)[0].text
        return text.count("Positive"), text.count("Negative"), text.count("Explanation")

    assert [shown(), shown(positive=9), shown(positive=0, negative=0)] == [(2, 1, 0), (3, 1, 0), (0, 0, 0)]
    assert shown(explanations=True) == (2, 1, 2)
    assert preset("definition").opening(TASK.replace(instruction="")) == []


def test_a_format_that_depends_on_the_task_is_not_shown_without_one():
    for name in ("templates", "arbitrary", "chat"):
        with pytest.raises(AssertionError, match="call of"):
            preset(name).demonstration(DEMOS[0])


def test_what_a_format_takes_from_a_task_is_no_part_of_its_value():
    form = preset("arbitrary")
    bound = form.of(TASK)
    assert bound == form and bound.of(TASK) is bound and form.bound is None
    assert bound.of(TASK.replace(name="other")).bound.task.name == "other"
    assert PromptFormat().of(TASK) == PromptFormat()


def test_the_answer_sign_and_the_separator_can_be_changed():
    form = PromptFormat(answer=" ->", separator="\n###\n", instruction=True)
    text = "Name the mood.\n###\nA fine day. -> good\n###\nRain again. -> bad\n###\nSome sun. -> good"
    assert prompt(form, QUERY, "good") == text


def test_exactly_one_segment_of_a_branch_is_scored_and_it_is_the_right_one():
    direct, channel = (PromptFormat(channel=c).branch(QUERY, "good") for c in (False, True))
    assert [s for s in direct if s.scored] == [Segment("option", " good", True)]
    assert [s for s in channel if s.scored] == [Segment("query", " Some sun.", True)]
    assert [s.role for s in (*direct, *channel)] == ["query", "option", "option", "query"]


@pytest.mark.parametrize("channel", [False, True])
def test_exactly_one_segment_of_a_demonstration_is_scored(channel):
    segments = PromptFormat(channel=channel).demonstration(DEMOS[0])
    assert [s.role for s in segments if s.scored] == ["demo_input" if channel else "demo_output"]


def test_a_demonstration_and_a_branch_begin_with_the_same_text():
    for channel in (False, True):
        form = PromptFormat(channel=channel)
        demo, branch = form.demonstration(DEMOS[0]), form.branch(DEMOS[0].hidden(), "good")
        assert [s.text.removesuffix(form.separator) for s in demo] == [s.text for s in branch]
        assert demo[0].text == branch[0].text


def test_the_question_is_the_branch_without_its_answer():
    form = PromptFormat()
    assert [form.question(QUERY)] == form.branch(QUERY, "good")[:1]


def test_a_channel_prompt_cannot_generate():
    with pytest.raises(UserError, match=r"a channel prompt cannot generate. Use the direct format"):
        PromptFormat(channel=True).question(QUERY)


def test_targets_are_the_options_or_the_one_answer_with_its_stop():
    form = PromptFormat()
    assert form.targets(QUERY) == ["good", "bad"]
    assert form.targets(Example("Say hello.", "hello")) == ["hello\n"]
    assert form.targets(TAGGED) == ["Ann Lee = PER; Rome = LOC\n"]


@pytest.mark.parametrize("example", [Example("Say hello."), TAGGED.hidden()])
def test_a_hidden_example_has_no_answer_text(example):
    with pytest.raises(AssertionError, match="hidden"):
        PromptFormat.answer_text(example)


def test_a_tagged_sentence_is_its_words_and_its_answer_the_spans():
    text = "".join(s.text for s in PromptFormat().demonstration(TAGGED))
    assert text == "Ann Lee left Rome\nAnswer: Ann Lee = PER; Rome = LOC\n\n"
    assert PromptFormat.answer_text(Example(tokens=("He", "left"), tags=("O", "O"))) == "none"


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("O O", []),
        ("B-A I-A O B-B", [("A", 0, 2), ("B", 3, 4)]),
        ("B-A B-A", [("A", 0, 1), ("A", 1, 2)]),
        ("I-A I-A O I-A", [("A", 0, 2), ("A", 3, 4)]),
        ("B-A I-B", [("A", 0, 1), ("B", 1, 2)]),
        ("B-A O I-A", [("A", 0, 1), ("A", 2, 3)]),
        ("B-A-B I-A-B", [("A-B", 0, 2)]),
    ],
)
def test_spans_follow_conlls_rule(tags, expected):
    assert spans(tags.split()) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ann Lee = PER; Rome = LOC", "B-PER I-PER O O B-LOC"),
        (" Ann Lee=PER ;Rome= LOC; ", "B-PER I-PER O O B-LOC"),
        ("none", "O O O O O"),
        ("", "O O O O O"),
        ("\nRome = LOC", "O O O O O"),
        ("Rome = LOC\nAnn = PER", "O O O O B-LOC"),
        ("Bob = PER; Rome = LOC", "O O O O B-LOC"),
        ("rome = LOC", "O O O O O"),
        ("Lee left = X; Ann Lee = PER", "O B-X I-X O O"),
        ("Rome = LOC; Rome = LOC", "O O O O B-LOC"),
        ("Rome =; = LOC; Rome", "O O O O O"),
        ("Ann = ORG; Lee = ORG", "B-ORG B-ORG O O O"),
    ],
)
def test_generated_text_is_read_as_tags(text, expected):
    assert parse_tags(text, ("Ann", "Lee", "left", "for", "Rome")) == tuple(expected.split())


def test_a_repeated_word_goes_to_its_places_from_left_to_right():
    assert parse_tags("a = X; a = Y", ("a", "b", "a")) == ("B-X", "O", "B-Y")
    # the first "a" is meant to be untagged: the text cannot say so
    assert parse_tags("a = X", ("a", "b", "a")) == ("B-X", "O", "O")


@examples(150)
@given(tagged_sentences())
def test_tags_come_back_from_their_text_where_no_word_repeats(sentence):
    tokens, tags = sentence
    assume(len(set(tokens)) == len(tokens) and all(token.split() == [token] for token in tokens))
    assert Example(tokens=tokens, tags=tags).problem() is None
    assert parse_tags(PromptFormat.answer_text(Example(tokens=tokens, tags=tags)), tokens) == tags


@examples(150)
@given(tagged_sentences(word=st.sampled_from("abc")))
def test_where_words_repeat_a_span_stays_or_moves_to_the_left_and_keeps_its_words(sentence):
    tokens, tags = sentence
    back = parse_tags(PromptFormat.answer_text(Example(tokens=tokens, tags=tags)), tokens)
    meant, read = ([(kind, tokens[a:b]) for kind, a, b in spans(t)] for t in (tags, back))
    assert all(read.count(span) <= meant.count(span) for span in read)
    # whole again wherever each span stands at the first free position of its words
    taken: set[int] = set()
    for _, a, b in spans(tags):
        free = (
            i for i in range(len(tokens)) if tokens[i : i + b - a] == tokens[a:b] and not taken & {*range(i, i + b - a)}
        )
        if next(free) != a:
            return
        taken |= {*range(a, b)}
    assert back == tags


@examples(200)
@given(st.text() | st.text("ab=;\n "), st.lists(st.text("ab=; ", min_size=1, max_size=2), max_size=6))
def test_reading_tags_never_fails_and_gives_one_sound_tag_a_token(text, tokens):
    tags = parse_tags(text, tokens)
    assert len(tags) == len(tokens)
    assert all(tag == "O" or (tag[:2] in ("B-", "I-") and len(tag) > 2) for tag in tags)
    assert spans(tags) == [s for s in spans(tags) if tags[s[1]].startswith("B-")]
