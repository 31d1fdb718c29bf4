"""Methods against their special cases; what all methods promise is in test_every_method.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from backbones import double_backbone
from on_toys import TASKS, answers, build

from metaicl.methods import method_class
from metaicl.methods.baselines.chance import MajorityAnswer
from metaicl.methods.baselines.finetune import FineTune
from metaicl.methods.gradient.maml import MAML
from metaicl.methods.gradient.reptile import Reptile
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.metric.embedding import ABSENT
from metaicl.methods.metric.protonet import ProtoNet
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.episodes import Episode
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat


@pytest.mark.parametrize("calibration", ["none", "pmi", "cross_fit"])
@pytest.mark.parametrize("objective", ["tokens", "both", "options"])
def test_raw_icl_equals_metaicl_with_untrained_weights_bit_for_bit(objective, calibration):
    from backbones import tiny_config

    from metaicl.lm.backbone import Backbone

    e = draw(TASKS["options"])
    form, options = PromptFormat(), {"calibration": calibration, "prior_share": 0.5}
    plain = method_class("icl").build(Backbone.load(tiny_config(weights="frozen")), form, options)
    backbone = Backbone.load(tiny_config(weights="lora"))
    untrained = method_class("metaicl").build(backbone, form, {"objective": objective, **options})
    pairs = zip(answers(plain, e), answers(untrained, e), strict=True)
    assert all(np.array_equal(a.scores, b.scores) for a, b in pairs)


def test_the_in_context_loss_is_the_mean_negative_log_likelihood_of_query_answers():
    backbone, form, e = double_backbone(), PromptFormat(), draw(TASKS["options"], k=2, queries=3)
    loss, weight = InContext(backbone, form, InContext.Config())([e])
    total, tokens = 0.0, 0
    for q in e.queries:
        segments = [s for d in e.support for s in form.demonstration(d)] + [form.question(q)]
        ids = backbone.encode("".join(s.text for s in segments))
        answer = backbone.encode(f" {q.output}")
        lp = torch.log_softmax(backbone.plain_logits([*ids, *answer])[len(ids) - 1 : -1], -1)
        total -= sum(float(lp[i, t]) for i, t in enumerate(answer))
        tokens += len(answer)
    assert float(loss) == pytest.approx(total, rel=1e-12) and float(weight) == tokens


@pytest.mark.parametrize("supervise", ["queries", "all"])
@pytest.mark.parametrize("channel", [False, True])
def test_the_in_context_loss_pulls_at_the_states_before_its_answers_tokens_and_at_exactly_no_other(
    learnable, channel, supervise
):
    form, e = PromptFormat(channel=channel, instruction=True), draw(TASKS["options"], k=2, queries=1)
    (query,) = e.queries
    shown = [s for d in e.support for s in form.demonstration(d)]
    before, after = [*form.opening(e.task), *shown], form.branch(query, query.output)
    parents, text = set(), ""
    for i, segment in enumerate([*before, *after]):
        first = len(learnable.encode(text.rstrip()))
        text += segment.text
        if segment.scored and (i >= len(before) or supervise == "all"):
            parents |= set(range(first - 1, len(learnable.encode(text)) - 1))
    seen: list[torch.Tensor] = []
    norm = learnable.model.get_base_model().model.norm
    hook = norm.register_forward_hook(lambda module, args, states: seen.append(states))
    loss, _ = InContext(learnable, form, InContext.Config(supervise=supervise))([e])
    hook.remove()
    (states,) = seen
    (gradient,) = torch.autograd.grad(loss, states)
    assert gradient.shape[1] == len(learnable.encode(text)) - 1  # no state is requested after the last token
    assert set(gradient[0].abs().amax(1).nonzero().flatten().tolist()) == parents


def test_the_mean_over_an_answers_tokens_gives_each_query_the_same_weight():
    method, tokens = (
        InContext(double_backbone(), PromptFormat(), InContext.Config(objective=objective))
        for objective in ("answer_mean", "tokens")
    )
    e = draw(TASKS["text"])
    wanted = 0.0
    for query in e.queries:
        loss, count = tokens([Episode(e.key, e.task, e.support, (query,))])
        wanted += float(loss / count)
    loss, weight = method([e])
    assert float(loss) == pytest.approx(wanted, rel=1e-6) and float(weight) == len(e.queries)


@pytest.mark.parametrize("objective", ["tokens", "answer_mean", "options"])
def test_the_loss_of_several_queries_is_the_sum_of_their_own(objective):
    method, e = (
        InContext(double_backbone(), PromptFormat(), InContext.Config(objective=objective)),
        draw(TASKS["options"]),
    )
    together, _ = method([e])
    apart = sum(float(method([Episode(e.key, e.task, e.support, (q,))])[0]) for q in e.queries)
    assert float(together) == pytest.approx(apart, rel=1e-12)


@pytest.mark.parametrize("instruction", [False, True])
@pytest.mark.parametrize("channel", [False, True])
def test_supervising_all_answers_adds_the_demonstrations_own_loss_and_no_token(learnable, channel, instruction):
    form, e = PromptFormat(channel=channel, instruction=instruction), draw(TASKS["options"])
    queries, everything = (InContext(learnable, form, InContext.Config(supervise=s)) for s in ("queries", "all"))
    (alone, tokens), (both, all_tokens) = queries([e]), everything([e])
    shown, shown_tokens = queries.demonstration_loss(e.task, e.support)
    assert float(both - alone) == pytest.approx(float(shown), rel=1e-4)
    assert float(all_tokens - tokens) == float(shown_tokens) > 0
    assert queries.tokens(e) == everything.tokens(e)


def test_changing_a_demonstrations_label_changes_the_loss(learnable):
    method, e = InContext(learnable, PromptFormat(), InContext.Config()), draw(TASKS["options"])
    flipped = tuple(replace(d, output="tool" if d.output == "fruit" else "fruit") for d in e.support)
    other = Episode(e.key, e.task, flipped, e.queries)
    assert float(method([e])[0]) != float(method([other])[0])


def test_multitask_is_the_in_context_method_at_no_demonstrations(learnable):
    e = draw(TASKS["options"])
    multitask = InContext(learnable, PromptFormat(), InContext.Config(demonstrations=False))
    bare = InContext(learnable, PromptFormat(), InContext.Config())
    assert float(multitask([e])[0]) == float(bare.loss([(e.task, (), e.queries)])[0])


def test_option_objective_is_the_cross_entropy_of_the_scores(learnable):
    e = draw(TASKS["options"])
    method = InContext(learnable, PromptFormat(), InContext.Config(objective="options"))
    loss, weight = method([e])
    scores = method.adapt(e.task, e.support).scores([q.hidden() for q in e.queries])
    expected = sum(
        -torch.log_softmax(torch.tensor(s), 0)[q.options.index(q.output)]
        for s, q in zip(scores, e.queries, strict=True)
    )
    assert float(loss) == pytest.approx(float(expected), rel=1e-4) and float(weight) == len(e.queries)


@pytest.mark.parametrize("form", ["text", "tags"])
def test_metaicl_learns_and_answers_texts_and_tags_as_without_calibration(learnable, form):
    e = draw(TASKS[form])
    plain, metaicl = (
        InContext(learnable, PromptFormat(), InContext.Config()),
        method_class("metaicl").build(learnable, PromptFormat()),
    )
    assert plain.serves == metaicl.serves
    both = InContext(learnable, PromptFormat(), InContext.Config(objective="both"))
    assert float(both([e])[0]) == float(metaicl([e])[0])
    assert [a.text for a in answers(plain, e)] == [a.text for a in answers(metaicl, e)]


def test_a_calibration_that_a_channel_prompt_does_not_allow_is_refused_before_training(learnable):
    with pytest.raises(UserError, match="calibration 'pmi' of a channel prompt"):
        method_class("metaicl").build(learnable, PromptFormat(channel=True), {"calibration": "pmi"})


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


@pytest.mark.parametrize("in_context", [True, False])
def test_fomaml_without_steps_is_the_in_context_method(in_context):
    backbone, e = double_backbone(), draw(TASKS["options"])
    maml = MAML(
        backbone,
        PromptFormat(),
        MAML.Config(order=1, in_context=in_context, inner_steps=0, test_steps=None, inner_lr=0.3),
    )
    plain = InContext(backbone, PromptFormat(), InContext.Config(demonstrations=in_context))
    assert float(maml([e])[0]) == pytest.approx(float(plain([e])[0]), rel=1e-12)


@pytest.mark.parametrize("in_context", [True, False])
def test_the_fomaml_gradient_is_the_query_gradient_at_the_adapted_weights(in_context):
    backbone, e = double_backbone(), draw(TASKS["options"])
    maml = MAML(
        backbone,
        PromptFormat(),
        MAML.Config(order=1, in_context=in_context, inner_steps=2, inner_lr=0.5, test_steps=None),
    )
    loss, _ = maml([e])
    found = torch.autograd.grad(loss, list(backbone.trainable().values()))
    adapted = maml.inner(e.task, e.support)
    with torch.no_grad():
        for name, p in backbone.trainable().items():
            p.copy_(adapted[name])
    shown = e.support if in_context else ()
    detached, _ = InContext(backbone, PromptFormat(), InContext.Config()).loss([(e.task, shown, e.queries)])
    expected = torch.autograd.grad(detached, list(backbone.trainable().values()))
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-9, atol=1e-12)


def test_one_inner_step_is_one_step_of_sgd_on_the_support_loss():
    backbone, e = double_backbone(), draw(TASKS["options"])
    maml = MAML(backbone, PromptFormat(), MAML.Config(order=1, inner_steps=1, inner_lr=0.1, clip=1e9, test_steps=None))
    weights = backbone.trainable()
    loss, weight = InContext(backbone, PromptFormat(), InContext.Config(demonstrations=False)).loss(
        [(e.task, (), e.support)]
    )
    grads = torch.autograd.grad(loss / weight, list(weights.values()))
    adapted = maml.inner(e.task, e.support)
    for (name, p), g in zip(weights.items(), grads, strict=True):
        assert torch.allclose(adapted[name], p - 0.1 * g, rtol=0, atol=1e-14) and g.abs().max() > 1e-4


def test_inner_steps_lower_the_support_loss(learnable):
    e = draw(TASKS["options"])
    maml = MAML(learnable, PromptFormat(), MAML.Config(order=1, inner_steps=5, inner_lr=0.5, test_steps=None))
    before, _ = maml.model.query_loss(e.task, (), e.support)
    after, _ = maml.model.query_loss(e.task, (), e.support, maml.inner(e.task, e.support))
    assert float(after) < float(before)


@pytest.mark.parametrize("steps", [1, 6])
def test_a_diverging_inner_loop_is_one_clear_error(learnable, steps):
    e = draw(TASKS["options"])
    with pytest.raises(UserError, match=r"diverged on task toy.*inner step.*Lower inner_lr"):
        MAML(
            learnable,
            PromptFormat(),
            MAML.Config(order=1, inner_steps=steps, inner_lr=1e30, clip=1e30, test_steps=None),
        ).adapt(e.task, e.support)


def test_a_loss_that_grows_from_one_minibatch_to_the_next_is_a_diverging_loop(learnable):
    e = draw(TASKS["options"], k=6)
    method = Reptile(learnable, PromptFormat(), Reptile.Config(inner_steps=4, batch=2, test_steps=None))
    losses = iter([1.0, 2.0, 30.0])
    method.support_loss = lambda task, examples, params: next(losses) + 0.0 * sum(p.sum() for p in params.values())
    with pytest.raises(UserError, match=r"diverged on task toy.*loss 30 after 2 inner steps, 1 at the start"):
        method([e])


def test_prototypes_equal_a_linear_softmax_over_embeddings():
    method, e = (
        ProtoNet(double_backbone(), PromptFormat(), ProtoNet.Config(scale=1.0)).double(),
        draw(TASKS["options"], k=6),
    )
    with torch.no_grad():
        shots, asked = method.embed(e.support), method.embed(e.queries)
        centres = torch.stack([shots[[d.output == c for d in e.support]].mean(0) for c in ("fruit", "tool")])
        linear = (2 * asked @ centres.T - centres.square().sum(1)) / asked.shape[1]
        found = method.classify(e.support, asked, ("fruit", "tool"))
    assert torch.allclose(found.softmax(1), linear.softmax(1), rtol=0, atol=1e-12)


def test_one_shot_prototypes_are_nearest_neighbours():
    method, e = (
        ProtoNet(double_backbone(), PromptFormat(), ProtoNet.Config(scale=1.0)).double(),
        draw(TASKS["options"], k=2),
    )
    with torch.no_grad():
        shots, asked = method.embed(e.support), method.embed(e.queries)
    distances = (asked[:, None] - shots).square().mean(2).numpy()
    found = answers(method, e)
    assert [a.text for a in found] == [e.support[i].output for i in distances.argmin(1)]
    columns = [[d.output for d in e.support].index(option) for option in e.queries[0].options]
    assert np.allclose([a.scores for a in found], -distances[:, columns], rtol=0, atol=1e-12)


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


def test_embeddings_are_computed_once_for_a_frozen_backbone(frozen):
    method, e = ProtoNet(frozen, PromptFormat(), ProtoNet.Config()), draw(TASKS["options"])
    answers(method, e)
    before = frozen.tokens_run
    answers(method, e)
    assert frozen.tokens_run == before


def test_embeddings_do_not_depend_on_what_is_embedded_beside_them(frozen):
    method = ProtoNet(frozen, PromptFormat(), ProtoNet.Config())
    support = draw(TASKS["options"], k=5).support
    alone = torch.cat([ProtoNet(frozen, PromptFormat(), ProtoNet.Config()).embed([e]) for e in support])
    frozen.shared.clear()
    assert torch.allclose(method.embed(support), alone, atol=1e-6)


def test_majority_follows_the_demonstrations_and_random_is_even():
    e = draw(TASKS["options"], k=4, queries=50)
    lone = tuple(d for d in e.support if d.output == "tool")
    assert {a.text for a in build("majority").adapt(e.task, lone).answers(e.queries)} == {"tool"}
    found = [a.text for a in answers(build("random"), e)]
    assert 10 < found.count("fruit") < 40


def test_options_that_a_method_does_not_take_are_refused():
    with pytest.raises(UserError, match="inner_step"):
        build("fomaml", inner_step=3)


def test_unknown_methods_offer_the_nearest_names():
    with pytest.raises(UserError, match="Did you mean metaicl"):
        method_class("metaicI")


class Shouting(PromptFormat):
    """A format of one's own: the answer in capitals."""

    @staticmethod
    def answer_text(example):
        return PromptFormat.answer_text(example).upper()


def test_a_format_of_ones_own_is_named_by_module_and_class(frozen):
    method = method_class("icl").build(frozen, PromptFormat(answer=" ->", target="test_methods:Shouting"))
    segments = method.form.demonstration(Example("a fig", "fruit", ("fruit", "tool")))
    assert [s.text for s in segments] == ["a fig ->", " FRUIT\n\n"]
    with pytest.raises(UserError, match="is not a PromptFormat"):
        method_class("icl").build(frozen, PromptFormat(target="toys:toy_task"))


def test_dropped_demonstrations_are_counted_in_training_and_prediction(frozen, monkeypatch):
    e = draw(TASKS["options"], k=8, role="train")
    size = sum(len(frozen.encode(s.text)) for s in PromptFormat().demonstration(e.support[0]))
    monkeypatch.setattr(type(frozen), "context", 5 * size)
    method = InContext(frozen, PromptFormat(), InContext.Config(overflow="drop"))
    with torch.no_grad():
        method([e])
    predictor = method.adapt(e.task, e.support)
    predictor.scores([q.hidden() for q in e.queries])
    assert 0 < method.dropped < 8 and 0 < predictor.dropped < 8
    before = method.dropped
    assert method.tokens(e) > 0 and method.dropped == before  # asking for a size counts nothing


def test_a_method_of_ones_own_is_named_by_module_and_class():
    assert method_class("metaicl.methods.baselines.chance:MajorityAnswer") is MajorityAnswer
    with pytest.raises(UserError, match=r"is not a metaicl\.methods\.base\.Method"):
        method_class("metaicl.lm.tiny:tiny_model").build(None, PromptFormat())  # type: ignore[arg-type]
