"""The ranges that a study chooses from: defaults that lie in them, and proposals that never leave them."""

from __future__ import annotations

import optuna
import pytest

from eval.config import TuneRun
from eval.search_space import SearchSpace
from metaicl.methods import METHODS, method_class
from task_suites.core.errors import UserError

RANGES = {
    "learning_rate": ["log", 1e-4, 1e-2],
    "options.inner_steps": ["int", 1, 4],
    "options.inner_lr": ["float", 0.1, 0.5],
    "options.clip": ["choice", 0.0, 1.0],
}


def test_proposals_stay_in_their_ranges():
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        found = SearchSpace(RANGES).suggest(study.ask())
        assert found.keys() == RANGES.keys()
        assert 1e-4 <= found["learning_rate"] <= 1e-2 and 0.1 <= found["options.inner_lr"] <= 0.5
        assert found["options.inner_steps"] in (1, 2, 3, 4) and found["options.clip"] in (0.0, 1.0)


def test_a_default_outside_of_its_range_is_not_a_setting_of_the_first_trial():
    run = TuneRun(method="fomaml", method_options={"inner_lr": 0.3, "inner_steps": 9})
    found = SearchSpace(RANGES).defaults(run)
    assert found["options.inner_lr"] == 0.3 and "options.inner_steps" not in found


@pytest.mark.parametrize(
    "name", [name for name in METHODS if method_class(name).meta_trained or method_class(name).space]
)
def test_the_space_of_every_method_is_sound_and_holds_a_default(name):
    run = TuneRun(method=name)
    space = SearchSpace.of(run)
    assert space.defaults(run), "the first trial would not be the method as it is"


@pytest.mark.parametrize("limits", [[], ["log", 1], ["int", 3, 3], ["between", 1, 2], ["choice"]])
def test_a_range_that_is_none_is_refused(limits):
    with pytest.raises(UserError, match=r"options\.inner_lr is not a range"):
        SearchSpace({"options.inner_lr": limits})
