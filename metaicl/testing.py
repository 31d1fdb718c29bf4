"""Checks for methods and sources of one's own, with small tasks and a scripted method to try them on.

    from metaicl.testing import check_method, check_source

    check_method("my_module:MyMethod")
    check_source("my_module:my_suite")

Both run in seconds, on a CPU and without files or downloads, and raise an `AssertionError` that says which promise is
broken. They belong into a test.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from metaicl.lm import tiny
from metaicl.lm.config import BackboneConfig
from metaicl.methods import method_class
from metaicl.methods.base import EMPTY, Method
from metaicl.methods.predictor import Answer, Predictor
from metaicl.training.checkpoint import MethodConfig, load_method, save_method
from task_suites.core.errors import UserError
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import open_suite
from task_suites.task import Task, TaskSuite

FRUIT = ("apple", "pear", "plum", "fig", "lime", "kiwi", "date", "peach")
TOOL = ("saw", "axe", "file", "drill", "clamp", "plane", "chisel", "hammer")


# -- small tasks -----------------------------------------------------------------------------------------------------


def options_task(name: str = "toy", labels: tuple[str, str] = ("fruit", "tool"), size: int = 32) -> Task:
    """Return a task with two labels: is it a fruit or a tool?"""

    def load(part: str) -> list[Example]:
        return [Example(f"{name} {part} {i}: the {word}", labels[i % 2], labels) for i, word in enumerate(_words(size))]

    return Task(name, "classification", load, instruction="Say what it is.", labels=labels, metric="accuracy")


def choice_task(name: str = "choice", size: int = 32) -> Task:
    """Return a task whose examples have options of their own."""

    def load(part: str) -> list[Example]:
        pairs = [(FRUIT[i % 8], TOOL[i // 2 % 8]) for i in range(size)]
        return [
            Example(f"{part} {i}: which can be eaten?", pair[0], pair[:: 1 - 2 * (i % 2)])
            for i, pair in enumerate(pairs)
        ]

    return Task(name, "multiple_choice", load)


def text_task(name: str = "text", size: int = 32) -> Task:
    """Return a task with free text as its answer."""

    def load(part: str) -> list[Example]:
        return [Example(f"{part} {i}: repeat {word}", word) for i, word in enumerate(_words(size))]

    return Task(name, "generation", load, metric="exact_match")


def tags_task(name: str = "tags", size: int = 32) -> Task:
    """Return a task whose examples are words with tags."""

    def load(part: str) -> list[Example]:
        words = [(str(i), part, word) for i, word in enumerate(_words(size))]
        return [Example(tokens=w, tags=("O", "O", ("B-FRUIT", "B-TOOL")[i % 2])) for i, w in enumerate(words)]

    return Task(name, "tagging", load, metric="span_f1")


def toy_suite() -> TaskSuite:
    """Return a suite of five small tasks with two labels: three to train on, one for each other side."""
    labels = {
        "train0": ("a", "b"),
        "train1": ("c", "d"),
        "train2": ("e", "f"),
        "validation": ("x", "y"),
        "test": ("p", "q"),
    }
    tasks = {name: options_task(name, pair).replace(family=name) for name, pair in labels.items()}
    sides = {"meta_train": ("train0", "train1", "train2"), "meta_validation": ("validation",), "meta_test": ("test",)}
    return TaskSuite("toys", tasks, sides)


def _words(size: int) -> list[str]:
    return [(FRUIT, TOOL)[i % 2][i // 2 % 8] for i in range(size)]


def draw(task: Task, k: int = 4, queries: int = 5, role: str = "test", index: int = 0) -> Episode:
    """Return an episode of a task: k demonstrations and some queries."""
    return EpisodeSampler(0, k, queries).draw(task, role, index)  # type: ignore[arg-type]


# -- a method whose answers are known ----------------------------------------------------------------------------------


class ScriptedMethod(Method):
    """Answers each query by a table from inputs to answers; an input that is not in the table gets the first option.

    With it a comparison, a report or a service is tried without a model.
    """

    note = "answers that are written down"
    weights = "frozen"
    reads_prompts = False

    def __init__(self, script: Mapping[str, str], backbone: Any = None):
        super().__init__(backbone, PromptFormat(), Method.Config())
        self.script = dict(script)

    def adapt(self, task: Task, support: Sequence[Example]) -> ScriptedPredictor:
        self.check_serves(task)
        return ScriptedPredictor(self.script)


class ScriptedPredictor(Predictor):
    """The answers of a `ScriptedMethod`."""

    def __init__(self, script: Mapping[str, str]):
        self.script = script

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        return [np.array([float(o == self.script.get(q.text)) for o in q.options or ()]) for q in queries]


# -- methods -----------------------------------------------------------------------------------------------------------


def check_method(name: str, options: Mapping[str, Any] = EMPTY, model: str | None = None) -> list[str]:
    """Return the forms of example that a method serves, or raise where it breaks a promise that trainer, harness and
    report rely on. `metaicl methods check NAME` prints the result.

    What is checked, on a small random model: it answers the tasks that it serves and refuses the others with a
    `UserError`; answers are the same again, whatever the other queries are; no query's answer is read; weights stay as
    they are in an evaluation. Of a method that is meta-trained: its loss is finite, adds up over episodes and reaches
    all that is learned; saved and loaded, it gives the same answers.

    Args:
        name: a name of `metaicl methods list`, or `package.module:Name`.
        options: the method's options; options that make it quick make the check quick.
        model: the model. Unset: a small random one, tiny-random, or tiny-encoder for a method that runs on sentence
            encoders only.

    Raises:
        AssertionError: says which promise is broken.
        UserError: there is no such method, or an option is wrong.
    """
    config = _config(name, options, model)
    method = config.build()
    tasks = [options_task(), choice_task(), text_task(), tags_task()]
    served = [task for task in tasks if method.refusal(task) is None]
    assert served, "it serves none of the four forms of example: see Method.serves and Method.refusal"
    for task in tasks:
        if task not in served:
            _check_refusal(method, task)
    before = {key: value.detach().clone() for key, value in method.state_dict().items()}
    for task in served:
        _check_answers(method, draw(task, queries=3))
    changed = [key for key, value in method.state_dict().items() if not torch.equal(before[key], value)]
    assert not changed, f"adapt or its predictor changes what is meta-learned: {changed[:5]}"
    if method.meta_trained:
        episodes = [draw(task, queries=3, role="train", index=i) for task in served for i in range(2)]
        _check_loss(method, episodes)
        _check_saved(config, draw(served[0]))
    return list(dict.fromkeys(task.form for task in served))


def _config(name: str, options: Mapping[str, Any], model: str | None) -> MethodConfig:
    """Return the method on the model, or on a small random one of a kind that it runs on."""
    model = model or (tiny.NAME if "causal" in method_class(name).backbones else tiny.ENCODER)
    backbone = method_class(name).backbone_config(BackboneConfig(model, dtype="float32", device="cpu"))
    return MethodConfig(name, dict(options), backbone, PromptFormat())


def _check_refusal(method: Method, task: Task) -> None:
    try:
        method.adapt(task, draw(task).support)
    except UserError:
        return
    raise AssertionError(f"adapt takes {task.form} although refusal says no: begin it with self.check_serves(task)")


def _check_answers(method: Method, episode: Episode) -> None:
    task, support = episode.task, episode.support
    queries = [q.hidden() for q in episode.queries]
    if task.form == "options":
        _check_scores(method.predictor_for(task, support).scores(queries), queries)
    found = method.predictor_for(task, support).answers(queries)
    assert len(found) == len(queries), f"{task.form}: {len(found)} answers to {len(queries)} queries"
    for query, answer in zip(queries, found, strict=True):
        _check_answer(query, answer)
    again = method.adapt(task, support).answers(queries)
    assert all(map(_same, found, again)), f"{task.form}: the same queries get other answers the second time"
    alone = [method.adapt(task, support).answers([query])[0] for query in queries]
    assert all(map(_same, found, alone)), f"{task.form}: an answer depends on the other queries"
    guarded = [Guarded(q.input, q.output, q.options, q.tokens, q.tags) for q in episode.queries]
    Guarded.read = False
    method.adapt(task, support).answers(guarded)
    assert not Guarded.read, f"{task.form}: a query's answer is read before it is scored"


def _check_scores(scores: object, queries: Sequence[Example]) -> None:
    """Check what a predictor gives for queries with options, before anything reads it."""
    assert isinstance(scores, list) and len(scores) == len(queries), "scores are a list, one item a query"
    for found, query in zip(scores, queries, strict=True):
        right = isinstance(found, np.ndarray) and found.shape == (len(query.options or ()),)
        assert right, f"a query's scores are a NumPy array with one number an option, but are {found!r}"


def _check_answer(query: Example, answer: Answer) -> None:
    if query.options is not None:
        assert answer.text in query.options, f"the answer {answer.text!r} is not an option"
        scores = answer.scores
        assert scores is not None and scores.shape == (len(query.options),), "scores are one number an option"
        assert not np.isnan(scores).any(), "a score is not a number"
    elif query.tokens is not None:
        assert len(answer.text) == len(query.tokens), "tags are one a token"
    else:
        assert isinstance(answer.text, str), "a generated answer is a text"


def _same(a: Answer, b: Answer) -> bool:
    close = a.scores is None or b.scores is None or np.allclose(a.scores, b.scores, atol=1e-4)
    return close and (a.text == b.text or a.scores is not None)  # equal scores can be in any order


@dataclass(frozen=True)
class Guarded(Example):
    """A query that notes when its answer is looked at."""

    read: ClassVar[bool] = False

    def __getattribute__(self, name: str) -> Any:
        if name in ("output", "tags"):
            Guarded.read = True
        return super().__getattribute__(name)

    def hidden(self) -> Example:
        return self


def _check_loss(method: Method, episodes: Sequence[Episode]) -> None:
    loss, weight = method(episodes)
    assert torch.isfinite(loss), "the loss is not finite"
    assert float(weight) > 0, "the weight of the loss is not above 0"
    loss.backward()
    lost = [name for name, p in method.learned().items() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert not lost, f"no finite gradient for {lost[:5]}: with several processes all weights need one (zero_loss)"
    assert any(bool(p.grad.abs().max() > 0) for p in method.learned().values() if p.grad is not None), (
        "all gradients are 0"
    )
    apart = [method([episode]) for episode in episodes]
    for kind, whole, parts in (("losses", loss, [a[0] for a in apart]), ("weights", weight, [a[1] for a in apart])):
        total = sum(float(part.detach()) for part in parts)
        assert np.isclose(float(whole.detach()), total, rtol=1e-3), (
            f"{kind} do not add up over episodes: return sums, not means"
        )
    method.zero_grad(set_to_none=True)


def _check_saved(config: MethodConfig, episode: Episode) -> None:
    method = config.build()
    with torch.no_grad():
        for number, p in enumerate(method.learned().values()):
            p.add_(0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(number)))
    queries = [q.hidden() for q in episode.queries]
    with tempfile.TemporaryDirectory() as folder:
        save_method(method, config, Path(folder) / "best")
        loaded = load_method(Path(folder) / "best")
    found, again = (m.adapt(episode.task, episode.support).answers(queries) for m in (method, loaded))
    assert all(map(_same, found, again)), "saved and loaded, it gives other answers: is a learned weight no Parameter?"


# -- sources -----------------------------------------------------------------------------------------------------------


def check_source(name: str) -> TaskSuite:
    """Return the suite of a source, or raise where it breaks a promise that draws and records rely on.

    What is checked: examples of both parts can be read and are sound; opened twice, all tasks have the same content;
    no task lies on two sides of the meta-split, and no two sides share a source or family.

    Args:
        name: as for `metaicl.load_suite`: `package.module:function`, a folder, or SCHEME:PATH.

    Raises:
        AssertionError: says which promise is broken.
        UserError: the source cannot be opened, or an example is unsound; the message has its file and line.
    """
    suite, again = open_suite(name), open_suite(name)
    assert suite.tasks, "the suite holds no task"
    for task in suite.tasks.values():
        for part in ("train", "test"):
            assert len(task.examples(part)), f"{task.name}: no {part} example"
        same = task.fingerprint() == again[task.name].fingerprint()
        assert same, f"{task.name}: another content the second time: seed what is random by names"
        draw(task, k=min(4, len(task.examples("train"))), queries=1)
    suite.assert_no_leak()
    return suite
