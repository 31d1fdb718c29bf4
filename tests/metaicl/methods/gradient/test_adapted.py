"""Tags by adapted weights: losses against plain loops over words in float64, meta-gradients, members averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from backbones import double_backbone, make_learnable
from gradients import flat, gradient_error
from scipy.special import softmax
from toys import tag_task, toy_task

from metaicl.methods.baselines.finetune import FineTune
from metaicl.methods.baselines.transfer import Transfer
from metaicl.methods.gradient.adapted import SCALE, AdaptedModel
from metaicl.methods.gradient.maml import MAML
from metaicl.methods.gradient.reptile import Reptile
from metaicl.methods.metric.protonet import ProtoNet
from metaicl.methods.predictor import AveragePredictor, Predictor
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat

TAGS = EpisodeSampler(0, 3, 2).draw(tag_task(), "train", 0)


def model(backbone) -> AdaptedModel:
    return AdaptedModel(backbone, PromptFormat(), in_context=False, objective="tokens")


def vectors(backbone, examples: Sequence[Example]) -> list[tuple[int, str, torch.Tensor]]:
    """(sentence, tag, vector) of each word, each sentence embedded by itself."""
    embed = ProtoNet(backbone, PromptFormat(), ProtoNet.Config()).embed
    return [
        (i, tag, vector) for i, e in enumerate(examples) for tag, vector in zip(e.tags or (), embed([e]), strict=True)
    ]


def nats(word: torch.Tensor, tag: str, shown: Sequence[tuple[int, str, torch.Tensor]]) -> torch.Tensor | None:
    """Minus the log-probability of a word's tag by its distances from the class means; None without that class."""
    names = sorted({name for _, name, _ in shown})
    if tag not in names:
        return None
    means = [torch.stack([v for _, name, v in shown if name == n]).mean(0) for n in names]
    logits = torch.stack([-SCALE * ((word - m) ** 2).mean() for m in means])
    return -torch.log_softmax(logits, 0)[names.index(tag)]


def test_the_inner_loss_of_tags_compares_each_sentence_with_the_means_of_the_others():
    backbone = double_backbone()
    odd = Example(tokens=("a", "gauge"), tags=("O", "B-RARE"))  # a class that no other sentence has: left out
    support = [*TAGS.support, odd]
    words = vectors(backbone, support)
    each = [nats(v, tag, [w for w in words if w[0] != i]) for i, tag, v in words]
    expected = [x for x in each if x is not None]
    loss, weight = model(backbone).support_loss(TAGS.task, support, backbone.trainable())
    assert float(weight) == len(expected) == len(words) - 1
    assert torch.allclose(loss, torch.stack(expected).sum(), rtol=1e-10, atol=0.0)


def test_the_outer_loss_of_tags_takes_the_means_of_all_demonstrations():
    backbone = double_backbone()
    shown = vectors(backbone, TAGS.support)
    expected = [nats(v, tag, shown) for _, tag, v in vectors(backbone, TAGS.queries)]
    loss, weight = model(backbone).query_loss(TAGS.task, TAGS.support, TAGS.queries)
    assert float(weight) == len(expected)
    assert torch.allclose(loss, torch.stack(expected).sum(), rtol=1e-10, atol=0.0)
    unknown = [Example(tokens=("a",), tags=("B-RARE",))]
    assert [float(x) for x in model(backbone).query_loss(TAGS.task, TAGS.support, unknown)] == [0.0, 0.0]


def test_the_meta_gradient_of_tags_equals_central_differences():
    method = MAML(double_backbone(), PromptFormat(), MAML.Config(inner_steps=2, inner_lr=0.3, test_steps=None)).double()
    assert gradient_error(lambda: method([TAGS])[0], list(method.learned().values())) < 1e-5


def test_steps_on_tags_lower_their_loss_and_move_the_answers_weights_alone():
    backbone = make_learnable()
    before = flat(backbone.trainable().values()).clone()
    method = MAML(backbone, PromptFormat(), MAML.Config(order=1, inner_steps=5, inner_lr=1.0, test_steps=None))
    after = method.inner(TAGS.task, TAGS.support)
    losses = [float(method.support_loss(TAGS.task, TAGS.support, w)) for w in (method.start(), after)]
    assert losses[1] < losses[0]
    assert torch.equal(flat(backbone.trainable().values()), before)


def test_one_sentence_teaches_no_step_and_gives_its_class_means():
    backbone = make_learnable()
    adapted = MAML(backbone, PromptFormat(), MAML.Config(order=1, inner_steps=2, inner_lr=1.0, test_steps=None))
    queries = [q.hidden() for q in TAGS.queries]
    plain = ProtoNet(backbone, PromptFormat(), ProtoNet.Config(learn_map=False, scale=SCALE))
    one = TAGS.support[:1]
    assert all(torch.equal(p, adapted.start()[n]) for n, p in adapted.inner(TAGS.task, one).items())
    assert adapted.adapt(TAGS.task, one).tag(queries) == plain.adapt(TAGS.task, one).tag(queries)


def test_without_a_sentence_every_word_is_o():
    predictor = FineTune(make_learnable(), PromptFormat(), FineTune.Config(steps=1)).adapt(TAGS.task, [])
    assert predictor.tag([TAGS.queries[0].hidden()]) == [("O",) * len(TAGS.queries[0].tokens or ())]


@pytest.mark.parametrize("method", [MAML, FineTune])
def test_adapters_above_the_layer_of_words_are_refused_for_tags_alone(method):
    backbone = double_backbone(layers=6)  # words are read at layer 5, the adapter is in layer 6
    made = method(backbone, PromptFormat(), method.Config())
    assert made.refusal(toy_task()) is None
    with pytest.raises(UserError, match=r"words are read at layer 5, adapters begin at 6; raise lora_layers"):
        made.adapt(TAGS.task, TAGS.support)


def test_adapters_above_the_layer_of_words_that_others_stand_below_are_left_as_they_are():
    backbone = make_learnable(lora_layers=2)
    method = Transfer(backbone, PromptFormat(), Transfer.Config(steps=1))
    loss, weight = method([TAGS, EpisodeSampler(0, 3, 2).draw(toy_task(), "train", 0)])
    grads = torch.autograd.grad(loss / weight, list(method.learned().values()))
    assert all(g.isfinite().all() for g in grads)


def test_members_tags_are_those_of_their_mean_probabilities():
    backbone = double_backbone()
    start = backbone.trainable()
    several = [{n: (1 + m) * p.detach() for n, p in start.items()} for m in range(3)]
    members = [model(backbone).predictor(TAGS.task, TAGS.support, w) for w in several]
    queries = [q.hidden() for q in TAGS.queries]
    names, scores = AveragePredictor(members).tag_scores(queries) or ([], np.empty(0))
    shares = np.mean([softmax(m.tag_scores(queries)[1], axis=1) for m in members], axis=0)
    assert names == sorted({t for e in TAGS.support for t in e.tags or ()})
    assert np.allclose(np.exp(scores), shares, rtol=1e-10)
    flat_tags = [tag for tags in AveragePredictor(members).tag(queries) for tag in tags]
    assert flat_tags == [names[i] for i in shares.argmax(1)]


def test_members_texts_and_tags_in_text_are_the_most_frequent_and_of_equals_the_first():
    class Says(Predictor):
        def __init__(self, *texts: str):
            self.texts = texts

        def generate(self, queries: Sequence[Example]) -> list[str]:
            return list(self.texts)

        def tag(self, queries: Sequence[Example]) -> list[tuple[str, ...]]:
            return [(text,) for text in self.texts]

    predictor = AveragePredictor([Says("a", "a", "x"), Says("b", "b", "y"), Says("a", "b", "z")])
    assert predictor.generate([Example("q")] * 3) == ["a", "b", "x"]
    assert predictor.tag([Example("q")] * 3) == [("a",), ("b",), ("x",)]  # as each member reads its own text


def test_reptile_steps_over_minibatches_of_sentences():
    method = Reptile(
        make_learnable(), PromptFormat(), Reptile.Config(inner_steps=2, inner_lr=1.0, batch=3, test_steps=None)
    )
    loss, _ = method([TAGS])
    assert float(loss) > 0
