"""Transfer learning: the loss of multi-task learning in meta-training, fine-tuning at test."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from backbones import double_backbone
from gradients import EPISODE, gradients

from metaicl.methods import method_class
from metaicl.methods.baselines.finetune import FineTune
from metaicl.methods.baselines.transfer import Transfer
from metaicl.testing import draw
from task_suites.formats.prompt_format import PromptFormat


@pytest.mark.parametrize("objective", ["tokens", "both"])
def test_meta_training_has_the_loss_and_gradient_of_multi_task_learning(objective):
    backbone, form = double_backbone(), PromptFormat()
    transfer = Transfer(backbone, form, Transfer.Config(objective=objective))
    multitask = method_class("multitask").build(backbone, form, {"objective": objective})
    for found, expected in zip(transfer([EPISODE]), multitask([EPISODE]), strict=True):
        assert float(found) == pytest.approx(float(expected), rel=1e-12)
    found, expected = gradients(transfer), gradients(multitask)
    assert all(torch.allclose(found[name], g, rtol=1e-9, atol=1e-13) for name, g in expected.items())


def test_losses_and_weights_of_episodes_add_up():
    method = Transfer(double_backbone(), PromptFormat(), Transfer.Config())
    other = draw(EPISODE.task, k=2, queries=4)
    apart = [method([episode]) for episode in (EPISODE, other)]
    both = method([EPISODE, other])
    for i in range(2):
        assert float(both[i]) == pytest.approx(sum(float(each[i]) for each in apart), rel=1e-12)


def test_a_new_task_is_learned_as_fine_tuning_learns_it():
    backbone, form, queries = double_backbone(), PromptFormat(), [q.hidden() for q in EPISODE.queries]
    options = {"steps": 2, "objective": "both"}
    found, expected = (
        cls(backbone, form, cls.Config(**options)).adapt(EPISODE.task, EPISODE.support).scores(queries)
        for cls in (Transfer, FineTune)
    )
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
