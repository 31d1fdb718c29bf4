"""Slots: how templates are parsed and filled, and which lexicon entries they name."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.embedded.templates import Filler, Slot, parse, phrases, slots_of


def test_templates_nest_and_do_not_repeat_a_phrase():
    lexicon = {"who": ("Ann", "Bob"), "mood": {"glad": ("smiles {at {who}|}",), "sad": ("weeps",)}}
    filler = Filler(random.Random(0), lexicon, {"mood": "sad"})
    assert filler.fill("{mood}") == "weeps"
    assert set(filler.fill("{who} {who}").split()) == {"Ann", "Bob"}
    with pytest.raises(ValueError, match="braces"):
        parse("{who")


PARTS = st.recursive(
    st.text("ab .", min_size=1, max_size=4) | st.sampled_from("xyz").map(Slot),
    lambda inner: st.lists(st.lists(inner, max_size=3).map(tuple), min_size=2, max_size=3).map(
        lambda choices: Slot(choices=tuple(choices))
    ),
    max_leaves=8,
)


def written(parts: tuple[str | Slot, ...]) -> str:
    return "".join(
        part
        if isinstance(part, str)
        else "{" + ("|".join(map(written, part.choices)) if part.choices else part.name) + "}"
        for part in parts
    )


def named(parts: tuple[str | Slot, ...]) -> set[str]:
    slots = [part for part in parts if isinstance(part, Slot)]
    inner = [named(choice) for slot in slots for choice in slot.choices]
    return {slot.name for slot in slots if not slot.choices}.union(*inner)


@given(st.lists(PARTS, max_size=4).map(tuple))
def test_a_template_is_parsed_into_what_it_was_written_from(parts):
    text = written(parts)
    assert written(parse(text)) == text
    assert slots_of(text) == named(parse(text)) == named(parts)


@given(st.text("{}|a", max_size=12))
def test_braces_that_do_not_match_are_refused_by_both_readers(text):
    def refused(reader) -> bool:
        try:
            reader(text)
        except ValueError:
            return True
        return False

    assert refused(parse) == refused(slots_of)


def test_phrases_are_separated_by_lines_and_by_slashes_between_blanks():
    assert phrases("  one / two\n\n three/four  ") == ("one", "two", "three/four")
