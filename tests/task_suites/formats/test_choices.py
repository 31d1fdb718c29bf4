"""How options are shown in a question."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from task_suites.formats.choices import CHOICES, letter_names


def test_names_go_on_after_z_as_the_columns_of_a_spreadsheet_do():
    names = letter_names(26 + 26 * 26 + 1)
    assert names[:3] == ["A", "B", "C"] and names[25:28] == ["Z", "AA", "AB"] and names[-2:] == ["ZZ", "AAA"]


@given(st.lists(st.text("abc ", min_size=1, max_size=4), min_size=1, max_size=30))
def test_each_option_has_an_answer_and_each_listed_option_a_line(words):
    for name, show in CHOICES.items():
        shown, answers = show(words)
        assert len(answers) == len(words)
        assert shown.count("\n") == (0 if name == "text" else len(words))
    assert len(set(CHOICES["letters"](words)[1])) == len(words)
