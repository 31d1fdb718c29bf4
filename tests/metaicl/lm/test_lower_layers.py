"""The layers below the first learned weight run once for each row, and change no number."""

from __future__ import annotations

import torch
from backbones import double_backbone
from gradients import EPISODE

from metaicl.methods.gradient.maml import MAML
from task_suites.formats.prompt_format import PromptFormat


def test_lower_layers_run_once_an_episode_and_change_nothing():
    backbone = double_backbone(layers=3)
    assert backbone.lower.count == 2
    calls = []
    backbone.lower.layers[0].mlp.register_forward_hook(lambda *a: calls.append(1))
    params = list(backbone.trainable().values())
    method = MAML(backbone, PromptFormat(), MAML.Config(inner_steps=3, order=1, test_steps=None, inner_lr=0.3))
    gradient = torch.autograd.grad(method([EPISODE])[0], params)
    inside = len(calls)
    backbone.lower.count = 0  # the plain way
    plain = torch.autograd.grad(method([EPISODE])[0], params)
    assert inside < len(calls) - inside == 4  # three inner steps and the outer loss
    assert inside == 2  # the support's row and the queries' row
    assert all(torch.equal(a, b) for a, b in zip(gradient, plain, strict=True))


def test_states_below_the_first_learned_layer_are_right_where_lower_layers_are_kept():
    backbone = double_backbone(layers=3)
    assert backbone.lower.count == 2
    alone = [backbone.hidden([range(9)], layer)[0] for layer in range(4)]
    with backbone.lower.once():
        for _ in range(2):  # the second pass begins at the first learned layer
            kept = [backbone.hidden([range(9)], layer)[0] for layer in (3, 2, 1, 0)][::-1]
            assert all(torch.equal(a, b) for a, b in zip(alone, kept, strict=True))
