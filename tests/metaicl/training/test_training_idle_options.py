"""Options of the base model that no method of a training reads are refused, and a method's own values are taken."""

from __future__ import annotations

from contextlib import nullcontext

import pytest

from metaicl.cli.main import parse
from metaicl.lm.config import BackboneConfig
from metaicl.methods import METHODS, method_class
from metaicl.training.idle_options import refuse_idle_backbone, refuse_idle_training
from metaicl.training.resolved import resolved
from task_suites.core.errors import UserError

TINY = ["--model", "tiny-random", "--device", "cpu"]
TRAIN = ["train", *TINY, "--max_steps", "1", "--no-progress"]


@pytest.mark.parametrize("name", [name for name in METHODS if method_class(name).meta_trained])
def test_the_resolved_configuration_of_a_run_is_taken_again(name):
    run = resolved(parse([*TRAIN, "--method", name])[1])
    refuse_idle_training(run)
    assert resolved(run) == run


DEEP = [name for name in METHODS if method_class(name).adapters.get("lora_layers", 0) > 2]


@pytest.mark.parametrize("name", DEEP)
def test_a_methods_own_number_of_layers_is_taken_on_a_small_model_and_one_that_is_given_is_refused(name):
    method = method_class(name)
    refuse_idle_backbone(BackboneConfig("tiny-random"), method)
    with pytest.raises(UserError, match="layers"):
        refuse_idle_backbone(BackboneConfig("tiny-random", lora_layers=method.adapters["lora_layers"] + 1), method)


@pytest.mark.parametrize("layers", range(5))
def test_layers_up_to_those_of_the_model_are_taken(layers):
    with pytest.raises(UserError, match="layers") if layers > 2 else nullcontext():
        refuse_idle_backbone(BackboneConfig("tiny-random", lora_layers=layers), method_class("metaicl"))
