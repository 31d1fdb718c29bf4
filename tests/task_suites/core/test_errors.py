"""The parts of an error's message, and the names that were probably meant."""

from __future__ import annotations

import pytest

from task_suites.core.errors import SHOWN, UserError, UserTypeError, counted, nearest, refuse_half_characters


def test_a_message_has_its_parts_in_one_order_and_only_those_that_are_given():
    whole = UserError("k is wrong", where="a.yaml:3", found=0, expected="1 or more", fix="Raise k.")
    assert str(whole) == "a.yaml:3: k is wrong; found 0; expected 1 or more. Raise k."
    assert str(UserError("k is wrong")) == "k is wrong"
    assert str(UserError("k is wrong", found="")) == "k is wrong; found "


def test_a_wrong_type_is_caught_as_either_error():
    with pytest.raises(TypeError):
        raise UserTypeError("not text")
    with pytest.raises(UserError):
        raise UserTypeError("not text")


def test_a_misspelt_name_is_answered_with_near_ones_and_a_strange_one_with_all():
    assert nearest("kitchn", ["kitchen", "court"]) == "Did you mean kitchen?"
    assert nearest("zzz", ["kitchen", "court"]) == "Known: court, kitchen."
    assert nearest("co", ["kitchen", "aaa", "court of law"]) == "Known: court of law, aaa, kitchen."


def test_a_long_list_of_names_is_cut_and_counted_with_the_nearest_first():
    names = [f"{letter}{number:02}" for letter in "pqr" for number in range(30)]
    shown = nearest("xxxxxx-q", names)
    assert f"and {len(names) - SHOWN} more." in shown and shown.count(", ") == SHOWN  # one of them after "Known"
    assert shown.index("q00") < shown.index("p00")


def test_one_is_not_counted_as_many():
    assert [counted(n, "task") for n in (0, 1, 2)] == ["0 tasks", "1 task", "2 tasks"]


def test_half_of_a_surrogate_pair_is_refused_by_name():
    refuse_half_characters("whole \U0001f600", "x")
    with pytest.raises(UserError, match="option input is not Unicode text"):
        refuse_half_characters("half \ud83d", "option input")
