"""Options that nothing reads are refused unless they have their default."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from task_suites.core.errors import UserError
from task_suites.core.idle import defaults_of, refuse_idle, refuse_values


@dataclass
class Settings:
    must: int
    size: int = 4
    loud: bool = False
    words: list[str] = field(default_factory=list)
    name: str | None = None


def test_defaults_are_those_of_fields_that_have_one():
    assert defaults_of(Settings) == {"size": 4, "loud": False, "words": [], "name": None}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": 5}, "size is 5, which changes nothing without x"),
        ({"loud": True}, "loud is true, which changes nothing without x"),
        ({"words": ["a"]}, r"words is \['a'\], which"),
        ({"size": 0}, "size is 0, which"),
    ],
)
def test_a_value_other_than_the_default_is_refused_where_nothing_reads_it(given, said):
    names = ["size", "loud", "words", "name"]
    with pytest.raises(UserError, match=said):
        refuse_idle(Settings(1, **given), names, "x")
    refuse_idle(Settings(1, **given), names, "x", used=True)
    refuse_idle(Settings(1, **given), [name for name in names if name not in given], "x")


def test_the_default_and_another_way_to_say_nothing_are_taken():
    assert refuse_idle(Settings(1, size=4, name=""), ["size", "loud", "words", "name"], "x") is None


def test_the_name_is_the_option_s_whole_name():
    with pytest.raises(UserError, match=r"^format\.seed is 3, which changes nothing without y\. Leave it out\.$"):
        refuse_values({"seed": 3}, "y", "format.")
