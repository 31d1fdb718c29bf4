"""An action that a command lacks is answered with one that it has."""

from __future__ import annotations

import pytest

from metaicl.cli.actions import check_action
from task_suites.core.errors import UserError


def test_an_action_of_the_command_is_taken():
    for action in ("list", "show"):
        check_action(action, ["list", "show"])


@pytest.mark.parametrize("action", ["sho", "SHOW", "", "list,show"])
def test_another_one_is_refused_with_the_nearest(action):
    with pytest.raises(UserError, match=f"unknown action '{action}'.*(show|list)"):
        check_action(action, iter(["list", "show"]))
