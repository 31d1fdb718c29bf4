"""`evaluate`: what it checks before anything is opened, and what it writes."""

from __future__ import annotations

import pytest
from scripted import TOYS

from eval.config import EvaluateRun
from eval.evaluate import evaluate_run
from task_suites.core.errors import UserError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"methods": []}, "no method to evaluate"),
        ({"methods": ["random"], "method_options": {"icl": {}}}, "options for a method that is not evaluated: 'icl'"),
    ],
)
def test_what_is_missing_is_named_before_anything_is_opened(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        evaluate_run(EvaluateRun("x", str(tmp_path / "x"), TOYS, progress=False, **changes))
    assert not list(tmp_path.iterdir())
