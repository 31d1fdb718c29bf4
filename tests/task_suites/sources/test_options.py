"""Options in the name of a source."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.core.errors import UserError
from task_suites.sources.options import number, one_of, split_options

KNOWN = {"setting": "", "seed": "100"}


@given(st.text(min_size=1, max_size=8).filter(lambda text: "\0" not in text and max(text) < "\ud800"))
def test_any_value_can_be_written_in_a_name(value):
    _, options = split_options(f"no-such-folder?setting={quote(value, safe='')}", KNOWN)
    assert options == {"setting": value, "seed": "100"}


def test_a_folder_whose_name_has_a_question_mark_is_taken_whole(tmp_path):
    folder = tmp_path / "what?seed=1"
    folder.mkdir()
    assert split_options(str(folder), KNOWN) == (folder, KNOWN)
    assert split_options(f"{folder}?seed=2", KNOWN) == (folder, {"setting": "", "seed": "2"})


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("", "no folder or file is named"),
        ("?seed=1", "no folder or file is named"),
        ("f?seed", "not an option: 'seed'"),
        ("f?sede=1", "unknown option 'sede'. Did you mean seed"),
        ("f?seed=1&seed=2", "option seed is given twice"),
    ],
)
def test_a_name_that_says_no_option_is_refused(rest, said):
    with pytest.raises(UserError, match=said):
        split_options(rest, KNOWN)


def test_values_are_checked_by_list_or_as_numbers():
    assert one_of({"a": "x"}, "a", ("x", "y")) == "x" and number({"a": "007"}, "a") == 7
    with pytest.raises(UserError, match="unknown value 'z'"):
        one_of({"a": "z"}, "a", ("x", "y"))
    for wrong in ("-1", "1.0", "", "²", "1" * 10):
        with pytest.raises(UserError, match="a whole number"):
            number({"a": wrong}, "a")
