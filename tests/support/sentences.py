"""Random tagged sentences."""

from __future__ import annotations

from hypothesis import strategies as st

words = st.text(st.characters(codec="utf-8", exclude_categories=("Z", "C"), exclude_characters=";"), min_size=1)
kinds = st.sampled_from(["PER", "LOC", "two words", "a-b"])


@st.composite
def tagged_sentences(draw, word=words):
    """Sentences with spans of one to three words, their tags in the canonical way (B- opens each span)."""
    pieces = draw(
        st.lists(st.tuples(st.lists(word, min_size=1, max_size=3), st.none() | kinds), min_size=1, max_size=6)
    )
    tokens, tags = [], []
    for piece, kind in pieces:
        tokens += piece
        tags += ["O"] * len(piece) if kind is None else [f"B-{kind}"] + [f"I-{kind}"] * (len(piece) - 1)
    return tuple(tokens), tuple(tags)
