"""Tagged sentences as text and back, spans listed and marked inline."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sentences import tagged_sentences

from examples import examples
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.formats.tagging import TAGGING, mark_inline, parse_inline, rename, spans
from task_suites.task import Task

TOKENS = ("Ann", "Lee", "left", "for", "Rome")
TAGS = ("B-PER", "I-PER", "O", "O", "B-LOC")
INLINE = PromptFormat(tagging="inline")


def test_an_inline_prompt_is_exactly_this():
    text = "".join(s.text for s in INLINE.demonstration(Example(tokens=TOKENS, tags=TAGS)))
    assert text == "Ann Lee left for Rome\nAnswer: [Ann Lee | PER] left for [Rome | LOC]\n\n"
    assert INLINE.targets(Example(tokens=TOKENS, tags=TAGS)) == ["[Ann Lee | PER] left for [Rome | LOC]\n"]


def test_brackets_bars_and_backslashes_of_the_sentence_are_escaped():
    tokens, tags = ("[", "|", "a|b]", "\\", "x"), ("B-A", "I-A", "O", "B-[B|", "O")
    text = mark_inline(tokens, tags)
    assert text == r"[\[ \| | A] a\|b\] [\\ | \[B\|] x"
    assert parse_inline(text, tokens) == tags


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Ann Lee | PER] left for [Rome | LOC]", "B-PER I-PER O O B-LOC"),
        (" [Ann Lee|PER]  left [ Rome |  LOC ]\nand more", "B-PER I-PER O O B-LOC"),
        ("[Rome | LOC]", "O O O O B-LOC"),
        ("[Ann Lee | PER] went to [Rome | LOC]", "B-PER I-PER O O B-LOC"),
        ("[Ann Bob | PER] left", "O O O O O"),
        ("[Ann left | PER] for Rome", "O O O O O"),
        ("[ | PER] Ann [Lee | ] left", "O O O O O"),
        ("[Ann Lee | PER left for [Rome | LOC]", "O O O O B-LOC"),
        ("[Ann [Lee | X] | PER] left for Rome", "O B-X O O O"),
        ("", "O O O O O"),
        ("[[|]|[]|", "O O O O O"),
    ],
)
def test_generated_inline_text_is_read_as_tags(text, expected):
    assert parse_inline(text, TOKENS) == tuple(expected.split())


words = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C")), min_size=1) | st.text("[]|\\a", min_size=1)


@examples(300)
@given(tagged_sentences(word=words | st.sampled_from(["a", "b"])))
def test_tags_come_back_from_inline_text_whatever_the_words_are(sentence):
    tokens, tags = sentence
    assume(all(token.split() == [token] for token in tokens))
    example = Example(tokens=tokens, tags=tags)
    assert INLINE.read_tags(INLINE.written(example), tokens) == tags
    assert len(INLINE.written(example).split("\n")) == 1


@examples(200)
@given(
    st.sampled_from(sorted(TAGGING)),
    st.text() | st.text("ab[]|\\=; \n"),
    st.lists(st.text("ab[", min_size=1, max_size=2), max_size=6),
)
def test_reading_never_fails_and_gives_one_sound_tag_a_token(kind, text, tokens):
    tags = PromptFormat(tagging=kind).read_tags(text, tokens)
    assert len(tags) == len(tokens)
    assert spans(tags) == [s for s in spans(tags) if tags[s[1]].startswith("B-")]


@pytest.mark.parametrize("kind", sorted(TAGGING))
def test_types_are_written_by_their_words_and_read_as_themselves(kind):
    example = Example(tokens=TOKENS, tags=TAGS)
    task = Task("names", "tagging", lambda split: [example], metric="span_f1")
    form = PromptFormat(tagging=kind, verbalizer={"PER": "a person", "LOC": "PER"}).of(task)
    assert "a person" in form.written(example) and "Rome" in form.written(example).split("PER")[0]
    assert form.read_tags(form.written(example), TOKENS) == TAGS
    assert rename(TAGS, {}) == TAGS


@pytest.mark.parametrize("kind", sorted(TAGGING))
@pytest.mark.parametrize("words", ["arbitrary", "random", "shuffled"])
def test_drawn_words_stand_for_types_and_are_read_as_the_types(kind, words):
    example = Example(tokens=TOKENS, tags=TAGS)
    task = Task("names", "tagging", lambda split: [example], metric="span_f1")
    form = PromptFormat(tagging=kind, label_words=words).of(task)
    own = PromptFormat(tagging=kind).written(example)
    assert set(form.bound.words) == {"PER", "LOC"} and form.written(example) != own
    assert all(word in form.written(example) for word in form.bound.words.values())
    assert form.read_tags(form.written(example), TOKENS) == TAGS
