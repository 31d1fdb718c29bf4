"""Reptile: its special cases, its minibatches, and what it leaves as it was."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from backbones import double_backbone
from gradients import EPISODE, flat, gradients
from toys import toy_task

from metaicl.methods.gradient.reptile import Reptile
from metaicl.methods.in_context.icl import InContext
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat


def test_one_step_of_reptile_is_joint_training():
    backbone = double_backbone()
    method = Reptile(
        backbone, PromptFormat(), Reptile.Config(inner_steps=1, inner_lr=0.2, clip=0.0, batch=0, test_steps=None)
    )
    both = (*EPISODE.support, *EPISODE.queries)
    loss, weight = InContext(backbone, PromptFormat(), InContext.Config(demonstrations=False)).loss(
        [(EPISODE.task, (), both)]
    )
    joint = torch.autograd.grad(loss / weight, list(backbone.trainable().values()))
    assert torch.allclose(flat(gradients(method).values()), 0.2 * flat(joint), rtol=1e-9, atol=1e-13)


def fine_tuned(batches: Sequence[Sequence[Example]], rate: float, clip: float) -> torch.Tensor:
    """The weights of a copy after a step of torch's SGD on each batch, answered without demonstrations."""
    copy = double_backbone()
    model, weights = (
        InContext(copy, PromptFormat(), InContext.Config(demonstrations=False)),
        list(copy.trainable().values()),
    )
    optimizer = torch.optim.SGD(weights, lr=rate)
    for batch in batches:
        loss, tokens = model.loss([(EPISODE.task, (), batch)])
        optimizer.zero_grad()
        (loss / tokens).backward()
        if clip:
            longer = float(flat(p.grad for p in weights).norm()) / clip
            for p in weights:
                p.grad /= max(1.0, longer)
        optimizer.step()
    return flat(p.detach() for p in weights)


@pytest.mark.parametrize("clip", [0.0, 0.02])
def test_reptile_with_outer_rate_one_is_plain_fine_tuning_on_the_support_set(clip):
    options = {"inner_steps": 3, "inner_lr": 0.3, "clip": clip}
    method = Reptile(
        double_backbone(),
        PromptFormat(),
        Reptile.Config(**{"test_steps": None, "use_queries": False, "batch": 0, **options}),
    )
    moved = [p - g for p, g in zip(method.start().values(), gradients(method).values(), strict=True)]
    expected = fine_tuned([EPISODE.support] * 3, 0.3, clip)
    assert torch.allclose(flat(moved), expected, rtol=1e-11, atol=1e-14)
    assert torch.allclose(flat(method.inner(EPISODE.task, EPISODE.support).values()), expected, rtol=1e-11, atol=1e-14)
    assert (clip == 0) == torch.equal(expected, fine_tuned([EPISODE.support] * 3, 0.3, 0.0))


def test_reptile_over_two_minibatches_is_a_step_of_fine_tuning_on_each():
    method = Reptile(
        double_backbone(),
        PromptFormat(),
        Reptile.Config(inner_steps=2, inner_lr=0.3, clip=0.0, batch=3, test_steps=None),
    )
    first, second = method.batches(EPISODE)
    assert {*first, *second} == {*EPISODE.support, *EPISODE.queries} and len(first) == len(second) == 3
    start = flat(p.detach() for p in method.start().values())
    away = start - fine_tuned([first, second], 0.3, 0.0)
    assert torch.allclose(flat(gradients(method).values()), away, rtol=1e-10, atol=1e-14)
    loss, weight = method([EPISODE])
    assert float(loss) == pytest.approx(float(away.square().sum() / 2), rel=1e-10) and float(weight) == 1.0


def test_reptile_leaves_weights_and_buffers_as_they_were_from_task_to_task():
    method = Reptile(double_backbone(), PromptFormat(), Reptile.Config(inner_steps=2, test_steps=None))
    state = {n: t.clone() for n, t in method.state_dict().items()}
    episodes = [EpisodeSampler(0, 3, 2).draw(toy_task(), "train", i) for i in range(2)]
    alone = gradients(method, [episodes[1]])
    both, first = gradients(method, episodes), gradients(method, [episodes[0]])
    assert all(torch.equal(state[n], t) for n, t in method.state_dict().items())
    assert all(torch.allclose(both[n], first[n] + alone[n], rtol=1e-12, atol=1e-15) for n in both)


def test_reptiles_minibatches_go_through_the_shuffled_episode_and_are_a_function_of_its_key():
    method = Reptile(double_backbone(), PromptFormat(), Reptile.Config(inner_steps=4, batch=3, test_steps=None))
    episode = EpisodeSampler(0, 4, 2).draw(toy_task(), "train", 0)
    batches = list(method.batches(episode))
    everything = {*episode.support, *episode.queries}
    assert [len(b) for b in batches] == [3] * 4
    assert {*batches[0], *batches[1]} == {*batches[2], *batches[3]} == everything
    assert batches == list(method.batches(episode))
    method.config = replace(method.config, use_queries=False)
    assert {e for b in method.batches(episode) for e in b} == set(episode.support)


def test_reptile_refuses_second_order():
    with pytest.raises(UserError, match=r"Reptile.order must be 1, but is 2"):
        Reptile.Config(order=2)
