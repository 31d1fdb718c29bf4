"""What is compared: each with a name and a label of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.contenders import Contender, distinct, name_meant, named_after
from task_suites.core.errors import UserError


def contenders(*given: str) -> list[Contender]:
    return [
        Contender(named_after(Path(x)), "L", lambda: None, x, method="metaicl", folder=Path(x))
        if "/" in x
        else Contender(x, x, lambda: None, x)
        for x in given
    ]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["/r/a/best", "/r/b/best"], ["a", "b"]),
        (["/r/a/best", "/s/a/best"], ["r-a", "s-a"]),
        (["icl", "/r/icl/best"], ["icl", "r-icl"]),
        (["/r/a/best", "/copied"], ["a", "copied"]),
        (["/r/x/a/best", "/s/x/a/best", "/s/b/best"], ["r-x-a", "s-x-a", "b"]),
        (["icl", "majority"], ["icl", "majority"]),
    ],
    ids=str,
)
def test_each_contender_has_a_name_and_a_label_of_its_own(given, names):
    found = distinct(contenders(*given))
    assert [c.name for c in found] == names
    assert len({c.label for c in found}) == len(found)
    assert [c.fingerprint for c in found] == given


@pytest.mark.parametrize("given", [["icl", "icl"], ["/r/a/best", "/r/b/../a/best"]], ids=str)
def test_one_method_named_twice_is_refused(given):
    with pytest.raises(UserError, match="named twice"):
        distinct(contenders(*given))


def test_of_several_trainings_the_first_is_highlighted():
    named = distinct(contenders("icl", "/r/b/best", "/r/a/best"))
    assert [name_meant(x, named) for x in ("metaicl", "a", "/r/a/best", "icl", "none")] == [
        "b",
        "a",
        "a",
        "icl",
        "none",
    ]
