"""What the quickstart is given: how long it may take, and how much of it the user chose."""

from __future__ import annotations

import pytest

from eval.quickstart.config import QuickstartRun
from eval.quickstart.sizes import Asked
from task_suites.core.errors import UserError
from task_suites.sources import SuiteConfig


@pytest.mark.parametrize(
    ("options", "seconds"),
    [({}, 600.0), ({"minutes": 2.0}, 120.0), ({"size": "tiny"}, None), ({"full": True}, None)],
)
def test_there_is_a_budget_where_none_is_given_and_no_size_either(options, seconds):
    assert QuickstartRun(**options).seconds == seconds


def test_only_what_the_user_gave_is_fixed():
    assert QuickstartRun(max_steps=3, max_tasks=0).asked == Asked(steps=3, tasks=0)


def test_tasks_without_options_are_refused():
    with pytest.raises(UserError, match="the quickstart takes tasks with options only"):
        QuickstartRun(SuiteConfig(forms=["tags"]))
