"""What methods on embeddings promise: gradients by central differences, order, each answer by itself, learning."""

from __future__ import annotations

import pytest
import torch
from embedded import EPISODE, FORM, LEARNED, TAGGED, items, make, perturb
from gradients import gradient_error

from metaicl.methods import method_class
from metaicl.methods.in_context.items import normalised
from metaicl.methods.metric.knn import NearestNeighbours
from task_suites.core.errors import UserError

FREE = [n for n in LEARNED if n not in ("matching_fce", "snail")]
every_learned = pytest.mark.parametrize("name", LEARNED)


@every_learned
def test_the_gradient_equals_central_differences(frozen, width, name):
    method = perturb(make(name, frozen, **({"scale": 5.0} if name.startswith("matching") else {})))
    shots, labels, queries = items(width=width)
    targets = torch.tensor([0, 2, 1, 0])
    params = [p for p in method.parameters() if p.requires_grad]
    assert gradient_error(lambda: method.loss(method.logits(shots, labels, queries, 3), targets), params) < 1e-5


@pytest.mark.parametrize("name", FREE)
def test_the_order_of_the_support_set_changes_nothing(frozen, width, name):
    method, (shots, labels, queries) = perturb(make(name, frozen)), items(width=width)
    order = torch.randperm(len(shots), generator=torch.Generator().manual_seed(5))
    assert method.order_free
    found = method.logits(shots[order], labels[order], queries, 3)
    assert torch.allclose(found, method.logits(shots, labels, queries, 3), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["matching_fce", "snail"])
def test_methods_that_read_the_support_set_in_order_say_so(frozen, width, name):
    method, (shots, labels, queries) = perturb(make(name, frozen)), items(width=width)
    assert not method.order_free
    turned = method.logits(shots.flip(0), labels.flip(0), queries, 3)
    assert not torch.allclose(turned, method.logits(shots, labels, queries, 3))


@pytest.mark.parametrize("name", [n for n in LEARNED if n != "snail"])
def test_the_numbers_of_classes_are_arbitrary(frozen, width, name):
    method, (shots, labels, queries) = perturb(make(name, frozen)), items(width=width)
    new = torch.tensor([2, 0, 1])
    renamed = method.logits(shots, new[labels], queries, 3)[:, new]
    assert torch.allclose(renamed, method.logits(shots, labels, queries, 3), rtol=1e-9, atol=1e-10)


@every_learned
def test_a_query_is_answered_alone_as_among_others(frozen, width, name):
    method, (shots, labels, queries) = perturb(make(name, frozen)), items(width=width)
    together = method.logits(shots, labels, queries, 3)
    alone = torch.cat([method.logits(shots, labels, q[None], 3) for q in queries])
    assert torch.allclose(together, alone, rtol=1e-9, atol=1e-10)


@every_learned
def test_new_weights_do_not_depend_on_what_was_drawn_before(frozen, name):
    first = make(name, frozen)
    torch.rand(3)
    second = make(name, frozen)
    assert all(torch.equal(a, b) for a, b in zip(first.own_state().values(), second.own_state().values(), strict=True))


LEARNERS = [n for n in LEARNED if n not in ("matching_fce", "snail")]


@pytest.mark.parametrize("name", [*LEARNERS, pytest.param("snail", marks=pytest.mark.slow)])
def test_learning_to_learn_beats_chance_where_classes_are_new_in_every_episode(frozen, width, name):
    """Each episode draws two directions out of the first eight; all else is noise. What a class looks like is only in
    the support set, and what to look at only in the other episodes."""
    generator = torch.Generator().manual_seed(0)
    options = {"slots": 2, "length": 7, "width": 16} if name == "snail" else {}
    method = make(name, frozen, torch.float32, **options)

    def episode() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        centres = torch.zeros(2, width)
        centres[:, :8] = 2.0 * torch.randn(2, 8, generator=generator)
        labels, targets = torch.tensor([0, 1] * 3), torch.randint(2, (8,), generator=generator)
        x = centres[torch.cat([labels, targets])] + torch.randn(14, width, generator=generator)
        return normalised(x[:6]), labels, normalised(x[6:]), targets

    def accuracy() -> float:
        hits = []
        with torch.no_grad():
            for _ in range(40):
                shots, labels, queries, targets = episode()
                hits.append((method.logits(shots, labels, queries, 2).argmax(1) == targets).float().mean())
        return float(torch.stack(hits).mean())

    untrained = accuracy()
    optimizer = torch.optim.AdamW([p for p in method.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(250 if name == "snail" else 60):
        batch = [episode() for _ in range(4)]
        loss = torch.stack([method.loss(method.logits(*e[:3], 2), e[3]) for e in batch]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert accuracy() > max(0.85, min(untrained + 0.02, 0.97))


def test_what_is_left_of_a_method_that_is_not_trained_is_one_error(frozen):
    with pytest.raises(UserError, match="not meta-trained"):
        NearestNeighbours(frozen, FORM, NearestNeighbours.Config())([EPISODE])


@pytest.mark.parametrize("name", ["protonet", "matching", "matching_fce", "relation", "r2d2", "lrd2", "snail", "knn"])
def test_tags_are_learned_from_words_that_are_mostly_o(frozen, name):
    """Adapted and answered in no time, and a loss that reaches every weight."""
    method = method_class(name).build(frozen, FORM)
    found = method.adapt(TAGGED.task, TAGGED.support).answers([q.hidden() for q in TAGGED.queries])
    assert all(len(a.text) == len(q.tokens or ()) for a, q in zip(found, TAGGED.queries, strict=True))
    if method.meta_trained:
        loss, weight = method([TAGGED])
        loss.backward()
        assert float(weight) == sum(len(q.tokens or ()) for q in TAGGED.queries)
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in method.learned().values())
