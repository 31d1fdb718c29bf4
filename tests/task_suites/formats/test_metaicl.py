"""MetaICL's prompts, written out."""

from __future__ import annotations

import pytest

from task_suites.example import Example
from task_suites.formats.metaicl import MetaICLFormat

SHOWN, QUERY = Example("in", "praise", ("praise", "blame")), Example("ask", None, ("praise", "blame"))


@pytest.mark.parametrize(
    ("channel", "demonstration", "branch"),
    [(False, "in\npraise\n\n\n", ["ask\n", "blame"]), (True, "praise\nin\n\n\n", ["blame\n", "ask"])],
)
def test_a_prompt_is_that_of_the_papers_code(channel, demonstration, branch):
    form = MetaICLFormat(channel=channel, answer="\n", separator="\n\n\n")
    assert "".join(segment.text for segment in form.demonstration(SHOWN)) == demonstration
    assert [segment.text for segment in form.branch(QUERY, "blame")] == branch
    assert [segment.scored for segment in form.branch(QUERY, "blame")] == [False, True]
