"""The checks for methods and sources of one's own: what ships passes them, and each broken promise is named."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from metaicl import testing
from metaicl.methods import METHODS
from metaicl.methods.base import Method
from metaicl.methods.predictor import Predictor
from metaicl.testing import ScriptedMethod, check_method, check_source, draw, options_task, toy_suite
from task_suites.example import Example
from task_suites.task import Task, TaskSuite

QUICK = ("random", "icl", "protonet", "metaicl")
STEPS = {"inner_steps": 1, "test_steps": 1}
GRADIENT = ("fomaml", "maml", "reptile", "meta_sgd", "tnet", "mtnet", "fomaml_icl", "maml_icl")
OPTIONS = {
    **{name: {"steps": 1} for name in ("finetune", "transfer", "setfit_lm")},
    **dict.fromkeys(GRADIENT, STEPS),
    "lstm_meta": {"inner_steps": 1},
    "setfit": {"max_steps": 1},
    "platipus": {**STEPS, "members": 2},
    "abmll": {**STEPS, "members": 2},
    "bmaml": {**STEPS, "particles": 2, "inner_lr": 0.1},
}


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in METHODS]
)
def test_every_method_that_ships_passes(name):
    check_method(name, OPTIONS.get(name, {}))


def test_the_built_in_suite_passes():
    assert check_source("embedded").name == "embedded"


class Sound(Method):
    """It learns one bias and answers by the demonstrations' shares."""

    meta_trained = True
    weights = "frozen"

    def __init__(self, backbone, form, config):
        super().__init__(backbone, form, config)
        self.bias = torch.nn.Parameter(torch.zeros(1))

    def logits(self, support, query):
        counts = torch.tensor([sum(e.output == o for e in support) for o in query.options])
        return counts + self.bias * torch.arange(len(query.options))

    def forward(self, episodes):
        pairs = [(e, q) for e in episodes for q in e.queries]
        logs = [torch.log_softmax(self.logits(e.support, q), 0)[q.options.index(q.output)] for e, q in pairs]
        return -torch.stack(logs).sum(), torch.tensor(float(len(logs)))

    def adapt(self, task, support):
        self.check_serves(task)
        return Shares(self, support)


class Shares(Predictor):
    def __init__(self, method, support):
        self.method, self.support = method, support

    def scores(self, queries):
        with torch.no_grad():
            return [self.method.logits(self.support, query).numpy() for query in queries]


class ServesNothing(Sound):
    serves = frozenset()


class TakesAll(Sound):
    def adapt(self, task, support):
        return Shares(self, support)


class Drifts(Sound):
    def adapt(self, task, support):
        with torch.no_grad():
            self.bias += 1e-5
        return super().adapt(task, support)


class Guesses(Sound):
    def logits(self, support, query):
        return torch.tensor([random.SystemRandom().random() for _ in query.options])


class Peeks(Sound):
    def adapt(self, task, support):
        class Peeking(Predictor):
            def scores(self, queries):
                return [np.array([float(o == q.output) for o in q.options]) for q in queries]

        self.check_serves(task)
        return Peeking()


class Compares(Sound):
    def adapt(self, task, support):
        class Comparing(Predictor):
            def scores(self, queries):
                return [np.arange(len(q.options)) * float(len(queries)) for q in queries]

        self.check_serves(task)
        return Comparing()


class Means(Sound):
    def forward(self, episodes):
        loss, weight = super().forward(episodes)
        return loss / weight, torch.tensor(1.0)


class Detached(Sound):
    def logits(self, support, query):
        return super().logits(support, query) + 0.0 * self.bias.detach()

    def forward(self, episodes):
        loss, weight = super().forward(episodes)
        return (loss + self.backbone.model.get_input_embeddings().weight.sum()).detach().requires_grad_(), weight


class NotANumber(Sound):
    def forward(self, episodes):
        loss, weight = super().forward(episodes)
        return loss * float("nan"), weight


class Forgets(Sound):
    def __init__(self, backbone, form, config):
        super().__init__(backbone, form, config)
        self.salt = float(torch.rand(()))

    def logits(self, support, query):
        return super().logits(support, query) + self.salt * torch.arange(len(query.options))


class OneNumber(Sound):
    def adapt(self, task, support):
        class Numbers(Predictor):
            def scores(self, queries):
                return [0.0 for _ in queries]

        self.check_serves(task)
        return Numbers()


BROKEN = {
    OneNumber: "scores are a NumPy array with one number an option, but are 0.0",
    ServesNothing: "serves none of the four forms",
    TakesAll: "adapt takes text although refusal says no",
    Drifts: "changes what is meta-learned: .'bias'",
    Guesses: "the same queries get other answers the second time",
    Compares: "an answer depends on the other queries",
    Peeks: "a query's answer is read before it is scored",
    Means: "do not add up over episodes",
    Detached: "no finite gradient for .'bias'",
    NotANumber: "the loss is not finite",
    Forgets: "saved and loaded, it gives other answers",
}


def test_a_sound_method_passes():
    check_method(f"{__name__}:Sound")


@pytest.mark.parametrize("method", BROKEN)
def test_a_broken_promise_is_named(method):
    with pytest.raises(AssertionError, match=BROKEN[method]):
        check_method(f"{__name__}:{method.__name__}")


def empty_part() -> TaskSuite:
    task = options_task().replace(load=lambda part: options_task().examples(part) if part == "train" else ())
    return TaskSuite("empty", {"toy": task}, {"meta_test": ("toy",)})


def drawn_anew() -> TaskSuite:
    salt = random.SystemRandom().random()
    load = lambda part: [Example(f"{part} {i} {salt}", "ab"[i % 2], ("a", "b")) for i in range(8)]  # noqa: E731
    return TaskSuite("anew", {"t": Task("t", "classification", load, labels=("a", "b"))}, {"meta_test": ("t",)})


@pytest.mark.parametrize(("source", "message"), [("empty_part", "test"), ("drawn_anew", "another content")])
def test_a_broken_promise_of_a_source_is_named(source, message):
    with pytest.raises(Exception, match=message):
        check_source(f"{__name__}:{source}")


def test_a_scripted_method_answers_by_its_script():
    episode = draw(options_task())
    method = ScriptedMethod({q.text: str(q.output) for q in episode.queries})
    found = method.adapt(episode.task, episode.support).answers([q.hidden() for q in episode.queries])
    assert [a.text for a in found] == [q.output for q in episode.queries]


def test_the_small_suite_is_sound():
    toy_suite().assert_no_leak()
    assert set(testing.__dict__) >= {"choice_task", "text_task", "tags_task"}
