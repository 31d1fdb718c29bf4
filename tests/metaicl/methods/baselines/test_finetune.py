"""Fine-tuning on the support set: zero steps, overfitting, and the shots that are kept for early stopping."""

from __future__ import annotations

import numpy as np
import torch
from backbones import double_backbone
from on_toys import TASKS

from metaicl.methods.baselines.finetune import FineTune
from metaicl.methods.in_context.icl import InContext
from metaicl.testing import draw
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat


def test_finetuning_without_steps_is_zero_shot():
    backbone, e = double_backbone(), draw(TASKS["options"])
    tuned = FineTune(backbone, PromptFormat(), FineTune.Config(steps=0)).adapt(e.task, e.support)
    plain = InContext(backbone, PromptFormat(), InContext.Config(demonstrations=False)).adapt(e.task, e.support)
    queries = [q.hidden() for q in e.queries]
    assert np.allclose(tuned.scores(queries), plain.scores(queries), rtol=0, atol=1e-12)


def test_finetuning_overfits_four_examples():
    from backbones import tiny_config

    from metaicl.lm.backbone import Backbone

    e = draw(TASKS["options"], k=4)
    backbone = Backbone.load(tiny_config(weights="full"))
    method = FineTune(backbone, PromptFormat(), FineTune.Config(steps=60, lr=1e-2, dev_share=0.0))
    predictor = method.adapt(e.task, e.support)
    assert [a.text for a in predictor.answers([d.hidden() for d in e.support])] == [d.output for d in e.support]
    loss, weight = method.model.query_loss(e.task, (), e.support, predictor.params)
    assert float(loss / weight) < 0.05


def test_finetuning_keeps_its_dev_shots_apart_and_out_of_training(learnable):
    method, e = FineTune(learnable, PromptFormat(), FineTune.Config()), draw(TASKS["options"], k=16)
    train, dev = method.split(e.support)
    assert len(dev) == 4 and sorted(map(str, [*train, *dev])) == sorted(map(str, e.support))
    assert {d.output for d in dev} == {"fruit", "tool"}
    assert method.split(e.support[:3])[1] == []


def test_finetuning_never_trains_on_its_dev_shots_and_keeps_the_step_that_is_best_on_them(learnable, monkeypatch):
    options = {"steps": 12, "lr": 0.1, "patience": 4, "objective": "options"}
    method, e = FineTune(learnable, PromptFormat(), FineTune.Config(**options)), draw(TASKS["options"], k=12)
    train, dev = method.split(e.support)
    loss_of = InContext.loss
    trained_on: list[set[Example]] = []
    seen: list[tuple[float, dict[str, torch.Tensor]]] = []  # dev losses, and the weights that have them

    def recording(model, prompts, params=None):
        loss, weight = loss_of(model, prompts, params)
        asked = {example for _, shown, queries in prompts for example in (*shown, *queries)}
        if loss.requires_grad:
            trained_on.append(asked)
        else:
            assert asked == set(dev)
            seen.append((float(loss / weight), {n: p.detach().clone() for n, p in params.items()}))
        return loss, weight

    monkeypatch.setattr(InContext, "loss", recording)
    found = method.adapt(e.task, e.support).params
    assert len(dev) == 3 and not set(train) & set(dev) and all(asked == set(train) for asked in trained_on)
    best = min(range(len(seen)), key=lambda step: seen[step][0])
    assert best > 0 and len(trained_on) == len(seen) - 1 == best + 4 < 12
    assert all(torch.equal(p, found[n]) for n, p in seen[best][1].items())
