"""Prototypical networks: class means against a linear softmax, and the two distances."""

from __future__ import annotations

import numpy as np
import torch
from backbones import double_backbone
from embedded import FORM, items, make, perturb
from on_toys import TASKS
from scipy.special import softmax
from toys import toy_task

from metaicl.methods.metric.embedding import ABSENT
from metaicl.methods.metric.protonet import ProtoNet
from metaicl.testing import draw
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat


def test_prototypes_of_unequal_shots_are_the_means_of_their_classes_and_a_linear_softmax():
    method = perturb(ProtoNet(double_backbone(), FORM, ProtoNet.Config(scale=2.0)).double())
    labels = ("fig", "fig", "saw", "oak", "fig", "saw", "fig")  # 4, 2 and 1 of them
    options = ("oak", "saw", "fig")
    support = tuple(Example(f"{i}: a thing", label, options) for i, label in enumerate(labels))
    queries = [Example(f"which is {text}?", None, options) for text in ("this", "that one", "it")]
    with torch.no_grad():
        w, scale = method.map.weight.numpy(), float(method.log_scale.exp())
        shots, asked = (
            np.concatenate([method.embed([e]).numpy() for e in those]) @ w.T for those in (support, queries)
        )
    found = np.array(method.adapt(toy_task(labels=options), support).scores(queries))
    centres = np.stack(
        [sum(x for x, c in zip(shots, labels, strict=True) if c == o) / labels.count(o) for o in options]
    )
    distances = ((asked[:, None] - centres) ** 2).sum(2) / len(w)
    assert found.dtype == np.float64 and np.allclose(found, -scale * distances, rtol=1e-10, atol=1e-10)
    linear = scale * (2 * asked @ centres.T - (centres**2).sum(1)) / len(w)
    assert np.allclose(softmax(found, axis=1), softmax(linear, axis=1), rtol=1e-10, atol=0)
    assert np.ptp(found, axis=1).min() > 0.01


def test_by_cosine_and_by_distance_prototypes_of_one_shot_are_the_same_classifier(frozen, width):
    shots, labels, queries = items(3, width=width)
    one, other = (make(name, frozen).logits(shots, labels, queries, 3) for name in ("protonet", "cosine"))
    assert torch.allclose(
        one.log_softmax(1), other.log_softmax(1), rtol=0, atol=1e-3
    )  # variances are 1 to the norm's epsilon


def test_prototypes_equal_a_linear_softmax_over_embeddings():
    method, e = (
        ProtoNet(double_backbone(), PromptFormat(), ProtoNet.Config(scale=1.0)).double(),
        draw(TASKS["options"], k=6),
    )
    with torch.no_grad():
        shots, asked = method.embed(e.support), method.embed(e.queries)
        centres = torch.stack([shots[[d.output == c for d in e.support]].mean(0) for c in ("fruit", "tool")])
        linear = (2 * asked @ centres.T - centres.square().sum(1)) / asked.shape[1]
        found = method.classify(e.support, shots, asked, ("fruit", "tool"))
    assert torch.allclose(found.softmax(1), linear.softmax(1), rtol=0, atol=1e-12)


def test_prototypes_do_not_depend_on_the_order_of_the_support_set(frozen):
    method, e = ProtoNet(frozen, PromptFormat(), ProtoNet.Config()), draw(TASKS["options"], k=6)
    queries = [q.hidden() for q in e.queries]
    forward = method.adapt(e.task, e.support).scores(queries)
    assert np.allclose(forward, method.adapt(e.task, e.support[::-1]).scores(queries), atol=1e-5)


def test_a_class_without_a_prototype_is_never_chosen(frozen):
    task = TASKS["options"].replace(labels=("fruit", "tool", "car"), load=lambda split: _with_car())
    e = draw(task)
    scores = (
        ProtoNet(frozen, PromptFormat(), ProtoNet.Config())
        .adapt(task, e.support)
        .scores([q.hidden() for q in e.queries])
    )
    assert all(s[2] == ABSENT and s[:2].min() > ABSENT for s in scores)


def _with_car() -> list[Example]:
    return [
        Example(f"{i}: the {w}", ("fruit", "tool")[i % 2], ("fruit", "tool", "car")) for i, w in enumerate("ab" * 20)
    ]
