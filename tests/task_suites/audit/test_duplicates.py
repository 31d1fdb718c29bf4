"""Near duplicates against a plain comparison of all pairs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from task_suites.audit.duplicates import Corpus, permutation_key, words_of

WORDS = [f"word{i}" for i in range(60)]
OPTIONS = st.lists(st.sampled_from(["red", "blue", "green sea", "sea", "x"]), min_size=2, max_size=4, unique=True)


@given(st.lists(st.sampled_from(WORDS), min_size=40, max_size=50, unique=True), st.integers(0, 39), st.data())
def test_a_text_is_found_similar_to_itself_with_one_word_changed(words, at, data):
    corpus = Corpus()
    corpus.add(" ".join(words), 0)
    corpus.add(" ".join([*words[:at], "other", *words[at + 1 :]]), 0)
    for text in range(6):  # what else the group holds: none of these words is rare in it
        corpus.add(" ".join(f"noise{text}x{i}" for i in range(40)), 0)
    [(first, second, similarity)] = corpus.similar()
    assert (first, second) == (0, 1) and abs(similarity - (len(words) - 1) / len(words)) < 1e-9


def test_no_texts_and_texts_without_words_have_no_duplicates():
    corpus = Corpus()
    assert corpus.similar() == corpus.contained() == []
    corpus.add("...", 0)
    corpus.add("!", 0)
    assert corpus.similar() == corpus.contained() == []


@given(OPTIONS, st.randoms())
def test_the_key_does_not_change_with_the_order_of_listed_options(options, rng):
    order = list(options)
    rng.shuffle(order)
    one, other = (f"which is it: {', '.join(listed)}?" for listed in (options, order))
    assert permutation_key(one, options) == permutation_key(other, order)
    assert permutation_key(one, options) != permutation_key(one.replace("which", "what"), options)
    assert permutation_key("nothing listed", options) is None


def test_punctuation_around_words_is_not_part_of_them():
    assert words_of('"so," he said - (twice) .') == ["so", "he", "said", "twice"]
    assert words_of("日本語 ok") == ["日", "本", "語", "ok"]
