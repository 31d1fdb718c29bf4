"""Metric, closed-form and black-box methods on embeddings: closed forms, special cases, causality, what they learn."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from backbones import double_backbone, make_learnable, tiny_config
from gradients import gradient_error
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from torch import nn
from toys import tag_task, toy_task

from examples import examples
from metaicl.lm.backbone import Backbone
from metaicl.methods import method_class
from metaicl.methods.baselines.setfit_lm import SetFitLM, contrastive_loss, pairs
from metaicl.methods.in_context.items import class_balanced_subset, item_labels, normalised
from metaicl.methods.metric.embedding import EmbeddingMethod
from metaicl.methods.metric.knn import NearestNeighbours
from metaicl.methods.metric.matching import MatchingNet
from metaicl.methods.metric.protonet import ProtoNet
from metaicl.methods.metric.relation import RelationNet
from metaicl.methods.metric.ridge import LRD2, R2D2, logistic_weights, ridge_weights
from metaicl.methods.metric.snail import SNAIL, CausalAttention, TemporalBlock
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat

FORM = PromptFormat()
EPISODE = EpisodeSampler(0, 6, 5).draw(toy_task(), "test", 0)
TAGGED = EpisodeSampler(0, 6, 5).draw(tag_task(), "test", 0)
LEARNED = {
    "protonet": (ProtoNet, {}),
    "cosine": (ProtoNet, {"distance": "cosine"}),
    "matching": (MatchingNet, {}),
    "matching_fce": (MatchingNet, {"fce": True}),
    "relation": (RelationNet, {}),
    "r2d2": (R2D2, {}),
    "lrd2": (LRD2, {}),
    "snail": (SNAIL, {"slots": 4, "length": 8, "width": 8, "filters": 4}),
}
FREE = [n for n in LEARNED if n not in ("matching_fce", "snail")]
every_learned = pytest.mark.parametrize("name", LEARNED)


def make(name: str, backbone: Backbone, dtype: torch.dtype = torch.float64, **options) -> EmbeddingMethod:
    """A method whose own weights are in `dtype`; the backbone, which tests share, stays as it is."""
    cls, own = LEARNED[name]
    method = cls(backbone, FORM, cls.Config(**{**own, **options}))
    for p in own_weights(method):
        p.data = p.data.to(dtype)
    return method


def own_weights(method: nn.Module) -> list[nn.Parameter]:
    return [p for n, p in method.named_parameters() if not n.startswith("backbone.")]


def items(
    n: int = 7, queries: int = 4, width: int = 64, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Vectors of shots in three classes (unequal in number) and of queries, in float64."""
    generator = torch.Generator().manual_seed(seed)
    x = normalised(torch.randn(n + queries, width, generator=generator, dtype=torch.float64))
    return x[:n], torch.tensor([0, 1, 2, 0, 0, 1, 0][:n]), x[n:]


@pytest.fixture
def width(frozen) -> int:
    return int(frozen.model_config.hidden_size)


def perturb(method: nn.Module) -> nn.Module:
    """Away from its start, where some derivatives are zero for being at the start."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for p in own_weights(method):
            if p.requires_grad:
                p.add_(0.05 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return method


# -- all of them -------------------------------------------------------------------------------------------------


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


# -- prototypical networks ---------------------------------------------------------------------------------------


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


# -- matching networks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fce", [False, True])
def test_matching_probabilities_are_the_attention_on_each_class_and_sum_to_one(frozen, width, fce):
    method, (shots, labels, queries) = perturb(make("matching", frozen, fce=fce)), items(width=width)
    found = method.logits(shots, labels, queries, 3).exp()
    assert torch.allclose(found.sum(1), torch.ones(4, dtype=torch.float64), rtol=0, atol=1e-12)
    if not fce:
        cosines = nn.functional.cosine_similarity(method.map(queries)[:, None], method.map(shots)[None], dim=2)
        attention = (method.log_scale.exp() * cosines).softmax(1)
        assert torch.allclose(found, attention @ nn.functional.one_hot(labels, 3).double(), rtol=0, atol=1e-12)


def test_a_shot_given_twice_draws_the_attention_of_two(frozen, width):
    method, (shots, labels, queries) = make("matching", frozen, scale=5.0), items(width=width)
    once = method.logits(shots, labels, queries, 3).exp()
    twice = method.logits(torch.cat([shots, shots[1:2]]), torch.cat([labels, labels[1:2]]), queries, 3).exp()
    cosines = nn.functional.cosine_similarity(queries[:, None], shots[None], dim=2)
    weight = (method.log_scale.exp() * cosines).softmax(1)[:, 1]  # the second shot is of class 1
    assert torch.allclose(twice[:, 1], (once[:, 1] + weight) / (1 + weight), rtol=0, atol=1e-12)
    assert torch.allclose(twice[:, 0], once[:, 0] / (1 + weight), rtol=0, atol=1e-12)


def test_matching_by_squared_distance_with_one_shot_is_a_prototypical_network(frozen, width):
    shots, labels, queries = items(3, width=width)
    matching = make("matching", frozen, distance="euclidean", scale=1.0)
    found = matching.logits(shots, labels, queries, 3)
    prototypes = make("protonet", frozen, scale=1.0).logits(shots, labels, queries, 3)
    assert torch.allclose(found, prototypes.log_softmax(1), rtol=0, atol=1e-12)


def test_by_cosine_and_by_distance_prototypes_of_one_shot_are_the_same_classifier(frozen, width):
    shots, labels, queries = items(3, width=width)
    one, other = (make(name, frozen).logits(shots, labels, queries, 3) for name in ("protonet", "cosine"))
    assert torch.allclose(
        one.log_softmax(1), other.log_softmax(1), rtol=0, atol=1e-3
    )  # variances are 1 to the norm's epsilon


def test_full_context_starts_near_the_plain_vectors(frozen, width):
    method, (shots, _, queries) = make("matching", frozen, fce=True), items(width=width)
    g, f = method.context(shots, queries)
    for new, old in ((g, shots), (f, queries)):
        assert nn.functional.cosine_similarity(new, old).min() > 0.98


# -- relation networks -------------------------------------------------------------------------------------------


def test_a_constant_relation_of_one_in_n_costs_n_minus_one_over_n_squared(frozen):
    method = make("relation", frozen)
    for n in (2, 3, 5):
        logits = torch.full((4, n), -math.log(n - 1), dtype=torch.float64)  # sigmoid: 1 / n
        loss = method.loss(logits, torch.tensor([0, 1, 0, 1]))
        assert float(loss) / 4 == pytest.approx((n - 1) / n**2, rel=1e-12)


def test_sum_and_mean_of_shots_agree_at_one_and_differ_by_their_number(frozen, width):
    mean, total = make("relation", frozen), make("relation", frozen, feature="sum")
    shots, labels, queries = items(3, width=width)
    assert torch.equal(mean.logits(shots, labels, queries, 3), total.logits(shots, labels, queries, 3))
    shots, labels, queries = items(7, width=width)
    seen: list[torch.Tensor] = []
    for method in (mean, total):
        method.compared = lambda feature, queries: seen.append(feature) or queries[:, 0]  # type: ignore[method-assign]
        method.logits(shots, labels, queries, 3)
    for c, (one, other) in enumerate(zip(seen[:3], seen[3:], strict=True)):
        assert torch.allclose(other, one * (4, 2, 1)[c], rtol=1e-12, atol=0)


class MinusDistance(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        c, q, _ = x.chunk(3, 1)
        return -0.1 * (c - q).square().sum(1, keepdim=True)


def test_a_relation_that_is_minus_the_distance_ranks_as_prototypes_do(frozen, width):
    method, (shots, labels, queries) = make("relation", frozen), items(width=width)
    method.relation = MinusDistance()
    found = method.logits(shots, labels, queries, 3).argsort(1)
    assert torch.equal(found, make("protonet", frozen).logits(shots, labels, queries, 3).argsort(1))


# -- ridge and logistic regression -------------------------------------------------------------------------------


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 3), st.floats(0.01, 10.0))
@examples(40)
def test_ridge_weights_are_where_the_gradient_vanishes_in_either_form(n, d, classes, ridge):
    generator = torch.Generator().manual_seed(100 * n + d)
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    y = torch.randn(n, classes, generator=generator, dtype=torch.float64)
    w = ridge_weights(x, y, torch.tensor(ridge, dtype=torch.float64))
    assert w.shape == (d, classes)
    assert (x.T @ (x @ w - y) + ridge * w).abs().max() < 1e-8
    primal = torch.linalg.solve(x.T @ x + ridge * torch.eye(d, dtype=x.dtype), x.T @ y)
    assert torch.allclose(w, primal, rtol=0, atol=1e-8)


def test_ridge_goes_to_zero_as_lambda_grows_and_interpolates_as_it_vanishes():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4, 6, generator=generator).double(), torch.randn(4, 2, generator=generator).double()
    assert ridge_weights(x, y, torch.tensor(1e12)).abs().max() < 1e-10
    assert torch.allclose(x @ ridge_weights(x, y, torch.tensor(1e-12)), y, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shape", [(3, 5), (6, 4)])
def test_both_solutions_are_differentiable_in_vectors_and_lambda(shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
    y = nn.functional.one_hot(torch.arange(shape[0]) % 2, 2).double()
    ridge = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b: ridge_weights(a, y, b), (x, ridge))
    assert torch.autograd.gradcheck(lambda a, b: logistic_weights(a, y, b, 4), (x, ridge))


@pytest.mark.parametrize("shape", [(8, 12), (12, 5)])
def test_the_fixed_point_of_irls_is_the_logistic_optimum(shape):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(*shape, generator=generator, dtype=torch.float64)
    y = nn.functional.one_hot(torch.arange(shape[0]) % 3, 3).double()
    w = logistic_weights(x, y, torch.tensor(0.5, dtype=torch.float64), 25)
    gradient = x.T @ ((x @ w).sigmoid() - y) + 0.5 * w
    assert gradient.abs().max() < 1e-8


def test_the_two_forms_of_an_irls_step_agree():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    y = nn.functional.one_hot(torch.arange(6) % 2, 2).double()
    ridge = torch.tensor(0.3, dtype=torch.float64)
    wide = torch.cat([x, torch.zeros(6, 1)], 1)  # a column of zeros: 6 <= 7, the dual
    tall = torch.cat([x, torch.zeros(1, 6)])  # a row of zeros at y = 1/2 adds nothing: 7 > 6, the primal
    half = torch.cat([y, torch.full((1, 2), 0.5)])
    dual, primal = logistic_weights(wide, y, ridge, 3), logistic_weights(tall, half, ridge, 3)
    assert torch.allclose(dual[:6], primal, rtol=0, atol=1e-9) and dual[6].abs().max() < 1e-9


def test_classes_far_apart_leave_newtons_method_finite(frozen, width):
    method = make("lrd2", frozen, ridge=1e-6, newton=30)
    shots, labels, queries = items(width=width)
    assert torch.isfinite(method.logits(100 * shots, labels, 100 * queries, 3)).all()


# -- SNAIL -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", [CausalAttention(5, 4, 3), TemporalBlock(5, 16, 3)])
def test_no_block_lets_the_past_see_the_future(block):
    x = torch.randn(2, 16, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    before = block.double()(x)
    for t in (0, 7, 15):
        changed = x.clone()
        changed[:, t] += 1.0
        after = block(changed)
        assert torch.allclose(after[:, :t], before[:, :t], rtol=0, atol=1e-13)
        assert (after[:, t] - before[:, t]).abs().max() > 1e-3


@pytest.mark.parametrize("length", [2, 5, 16, 64])
def test_the_last_place_of_a_temporal_block_sees_every_place(length):
    block = TemporalBlock(3, length, 2).double()
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, length, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(block(x)[0, -1].sum(), x)
    assert block.dilations[0] == 1 and (gradient[0].abs().sum(1) > 0).all()


def test_snail_reads_the_labels_and_the_label_slot_of_a_query_is_empty(frozen, width):
    method, (shots, labels, queries) = perturb(make("snail", frozen)), items(width=width)
    seen: list[torch.Tensor] = []
    method.blocks.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    first = method.logits(shots, labels, queries, 3)
    second = method.logits(shots, labels.roll(1), queries, 3)
    assert not torch.allclose(first, second)
    assert seen[0].shape == (4, 8, 8 + 4)
    assert (seen[0][:, -1, 8:] == 0).all() and (seen[0][:, :-1, 8:].sum(2) == 1).all()


def test_renumbered_classes_in_their_old_slots_have_exactly_the_logits_they_had(frozen, width):
    method, (shots, labels, queries) = perturb(make("snail", frozen)), items(width=width)
    new, slots = torch.tensor([2, 0, 1]), torch.tensor([3, 0, 2, 1])
    method._order = slots
    before = method.logits(shots, labels, queries, 3)
    method._order = slots.clone()
    method._order[new] = slots[:3]
    assert torch.equal(method.logits(shots, new[labels], queries, 3)[:, new], before)
    assert not torch.allclose(method.logits(shots, labels, queries, 3), before)


def test_the_whole_stack_lets_no_place_see_a_later_one_and_each_one_see_all_before(frozen):
    method = perturb(make("snail", frozen))
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 8, 12, generator=generator, dtype=torch.float64)
    before = method.blocks(x)
    for t in range(8):
        changed = x.clone()
        changed[0, t] += 1.0
        apart = (method.blocks(changed) - before).abs().amax(2)
        assert not apart[0, :t].any() and not apart[1].any()
        assert (apart[0, t:] > 1e-6).all()


def test_slots_are_drawn_by_the_support_sets_name_and_are_the_same_every_time(frozen):
    method = SNAIL(frozen, FORM, SNAIL.Config(slots=8))
    orders = []
    for index in (0, 1, 0):
        e = EpisodeSampler(0, 4, 2).draw(toy_task(), "train", index)
        method.classify(e.support, method.embed(e.queries), method.classes(e.support))
        orders.append(method._order.tolist())
    assert orders[0] == orders[2] != orders[1] and sorted(orders[0]) == list(range(8))


def test_more_classes_than_slots_are_refused_before_any_work(frozen):
    method = SNAIL(frozen, FORM, SNAIL.Config(slots=2))
    assert method.refusal(toy_task()) is None
    assert "3 classes" in str(method.refusal(tag_task()))
    with pytest.raises(UserError, match="slots is 2"):
        method.adapt(TAGGED.task, TAGGED.support)


def test_a_support_set_longer_than_the_sequence_keeps_all_its_classes(frozen):
    method = SNAIL(frozen, FORM, SNAIL.Config(length=9))
    found = method.adapt(TAGGED.task, TAGGED.support).answers([q.hidden() for q in TAGGED.queries])
    assert all(len(a.text) == len(q.tokens or ()) for a, q in zip(found, TAGGED.queries, strict=True))
    kept = [item_labels(TAGGED.support)[i] for i in class_balanced_subset(TAGGED.support, method.most)]
    assert len(kept) == 8 and set(kept) == {"O", "B-FRUIT", "B-TOOL"}


# -- items -------------------------------------------------------------------------------------------------------


@given(st.integers(1, 40), st.integers(0, 10_000))
@examples(30)
def test_items_are_kept_class_by_class_in_turn_whatever_their_order(most, seed):
    support = list(EpisodeSampler(0, 6, 1).draw(tag_task(), "test", 0).support)
    names = [(e.content, i) for e in support for i in range(len(e.tokens))]
    labels, kept = item_labels(support), class_balanced_subset(support, most)
    assert kept == sorted(set(kept)) and len(kept) == min(most, len(labels))
    counts = Counter(labels[i] for i in kept)
    short = [c for c, n in Counter(labels).items() if counts[c] < n]
    assert not short or max(counts.values()) <= min(counts[c] for c in short) + 1
    shuffled = [support[i] for i in np.random.default_rng(seed).permutation(len(support))]
    again = [(e.content, i) for e in shuffled for i in range(len(e.tokens))]
    assert {again[i] for i in class_balanced_subset(shuffled, most)} == {names[i] for i in kept}


def test_a_layer_is_a_share_of_the_depth_or_a_number_and_must_exist(frozen):
    depth = frozen.model_config.num_hidden_layers
    for layer, expected in ((0.8, round(0.8 * depth)), (-1, depth), (1, 1), (0, 0), (-depth - 1, 0)):
        assert ProtoNet(frozen, FORM, ProtoNet.Config(layer=layer)).embed.layer == expected
    with pytest.raises(UserError, match="no such layer"):
        ProtoNet(frozen, FORM, ProtoNet.Config(layer=depth + 1))


def test_a_text_is_the_mean_of_its_normalised_states_behind_a_token_that_begins_it(frozen):
    method, text = ProtoNet(frozen, FORM, ProtoNet.Config(layer=1)), "the plum is ripe"
    first = method.embed.first
    (states,) = frozen.hidden([(*first, *frozen.encode(text))], 1)
    (found,) = method.embed([Example(text, "a", ("a", "b"))])
    assert len(first) == 1 and torch.allclose(found, normalised(normalised(states[1:]).mean(0)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("twice", [False, True])
def test_a_word_is_the_state_of_its_last_token_and_sees_its_right_only_where_the_sentence_is_given_twice(frozen, twice):
    method = ProtoNet(frozen, FORM, ProtoNet.Config(twice=twice))
    first = Example(tokens=("a", "ripe", "plum"), tags=("O", "O", "O"))
    other = replace(first, tokens=("a", "ripe", "saw"))
    one, two = method.embed([first]), method.embed([other])
    assert len(one) == 3 and not torch.allclose(one[2], two[2], rtol=0, atol=1e-4)
    assert torch.allclose(one[:2], two[:2], rtol=0, atol=1e-4) != twice


def test_what_is_left_of_a_method_that_is_not_trained_is_one_error(frozen):
    with pytest.raises(UserError, match="not meta-trained"):
        NearestNeighbours(frozen, FORM, NearestNeighbours.Config())([EPISODE])


# -- nearest neighbours and SetFit-style -------------------------------------------------------------------------------


def test_one_neighbour_is_the_class_of_the_nearest_shot_and_more_than_there_are_are_all(frozen, width):
    shots, labels, queries = items(width=width)
    found = NearestNeighbours(frozen, FORM, NearestNeighbours.Config(neighbours=1)).logits(shots, labels, queries, 3)
    assert found.argmax(1).tolist() == labels[torch.cdist(queries, shots).argmin(1)].tolist()
    votes = (
        NearestNeighbours(frozen, FORM, NearestNeighbours.Config(neighbours=99)).logits(shots, labels, queries, 3).exp()
    )
    inverse = 1 / torch.cdist(queries, shots)
    expected = torch.stack([inverse[:, labels == c].sum(1) for c in range(3)], 1)
    assert torch.allclose(votes, expected / expected.sum(1, keepdim=True), rtol=0, atol=1e-9)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=12))
def test_pairs_are_those_enumerated_and_counted_by_class(labels):
    first, second, same = pairs(torch.tensor(labels))
    expected = list(itertools.combinations(range(len(labels)), 2))
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == expected
    assert int(same.sum()) == sum(math.comb(n, 2) for n in Counter(labels).values())
    assert len(same) == math.comb(len(labels), 2)


def test_the_contrastive_loss_is_zero_for_classes_at_right_angles_and_both_kinds_of_pairs_weigh_the_same():
    labels = torch.tensor([0, 0, 0, 1, 1])
    apart = torch.eye(2, dtype=torch.float64)[labels]
    assert float(contrastive_loss(apart, labels)) == 0.0
    assert float(contrastive_loss(torch.ones(5, 2), labels)) == pytest.approx(0.5)  # all alike: 0 and 1
    assert float(contrastive_loss(apart[:3], labels[:3])) == 0.0  # one class: no other pairs


def test_setfit_lowers_the_contrastive_loss_and_leaves_the_adapters_as_they_are():
    backbone = make_learnable()
    method = SetFitLM(backbone, FORM, SetFitLM.Config(steps=5, lr=1e-2))
    before = {n: p.detach().clone() for n, p in backbone.trainable().items()}
    labels = torch.tensor([["fruit", "tool"].index(e.output) for e in EPISODE.support])
    tuned = method.tuned(EPISODE.support)
    with torch.no_grad():
        first = contrastive_loss(method.embed(EPISODE.support), labels)
        second = contrastive_loss(method.embed(EPISODE.support, tuned), labels)
    assert float(second) < float(first)
    assert all(torch.equal(before[n], p) for n, p in backbone.trainable().items())
    again = method.tuned(EPISODE.support)
    assert all(torch.equal(again[n], p) for n, p in tuned.items())


def test_setfit_without_steps_is_logistic_regression_on_plain_vectors():
    from sklearn.linear_model import LogisticRegression

    backbone = Backbone.load(tiny_config(weights="lora"))
    method, queries = SetFitLM(backbone, FORM, SetFitLM.Config(steps=0)), [q.hidden() for q in EPISODE.queries]
    scores = method.adapt(EPISODE.task, EPISODE.support).scores(queries)
    with torch.no_grad():
        shots, asked = method.embed(EPISODE.support).double().numpy(), method.embed(queries).double().numpy()
    head = LogisticRegression(max_iter=1000).fit(shots, [e.output for e in EPISODE.support])
    expected = head.predict_log_proba(asked)[:, [list(head.classes_).index(o) for o in queries[0].options]]
    assert np.allclose(scores, expected, rtol=0, atol=1e-5)


def test_setfit_wants_weights_to_adapt_below_its_layer(frozen):
    with pytest.raises(UserError, match="SetFit needs weights"):
        SetFitLM(frozen, FORM, SetFitLM.Config())
    upper = make_learnable(lora_layers=1)
    assert SetFitLM(upper, FORM, SetFitLM.Config(layer=-1)).embed.layer == 2
    with pytest.raises(UserError, match="below all adapters"):
        SetFitLM(upper, FORM, SetFitLM.Config(layer=1))


def test_setfit_below_its_adapters_runs_once_and_changes_nothing():
    backbone = make_learnable(lora_layers=1)
    method, calls = SetFitLM(backbone, FORM, SetFitLM.Config(steps=3)), []
    backbone.lower.layers[0].mlp.register_forward_hook(lambda *a: calls.append(1))
    tuned = method.tuned(EPISODE.support)
    assert backbone.lower.count == 1 and len(calls) == 1  # one row, of the whole support set
    backbone.lower.count = 0  # the plain way
    plain = method.tuned(EPISODE.support)
    assert len(calls) == 4  # and in each step, and for the vectors at the end
    assert all(torch.equal(tuned[n], p) for n, p in plain.items())


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
