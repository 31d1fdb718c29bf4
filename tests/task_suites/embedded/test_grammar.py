"""The surface of English: articles, capitals, blanks, tokens, and the marks around spans."""

from __future__ import annotations

import pytest

from task_suites.embedded.grammar import article, captured, finished, tagged, with_articles


def test_articles_capitals_tokens_and_spans_are_set():
    assert (
        with_articles("a [E1] apple [/E1], an <X:unicorn> and a hour")
        == "an [E1] apple [/E1], a <X:unicorn> and an hour"
    )
    assert finished('he said: "go . now!." then  left') == 'He said: "Go. Now!" then left'
    assert tagged("The <A:old saw> broke.") == (("The", "old", "saw", "broke", "."), ("O", "B-A", "I-A", "O", "O"))
    assert captured("a <X:b c> d") == ("a b c d", "b c")


@pytest.mark.parametrize(
    ("word", "chosen"),
    [
        *(("apple", "an"), ("hour", "an"), ("uninvited", "an"), ("oneself", "an"), ("heirloom", "an"), ("11", "an")),
        *(("unicorn", "a"), ("European", "a"), ("ewe", "a"), ("one-armed", "a"), ("useful", "a"), ("110", "a")),
    ],
)
def test_an_article_follows_the_sound_of_a_word_not_its_letter(word, chosen):
    assert article(word) == chosen


def test_a_text_without_a_mark_has_no_answer():
    with pytest.raises(ValueError, match="no <TYPE"):
        captured("nothing is marked")
