"""Agreement with lm-evaluation-harness: the same prompts on the same weights, scored by both and compared item by item.

The harness reads a task from its own kind of configuration, draws the demonstrations itself (the first of the train
split, which are the episode's), builds the prompts, encodes them and runs the model that transformers loads. Ours
scores the same episode through the prompt tree. Both work in float32. Where a log-probability differs by more than
5e-5 then, or a choice or an accuracy differs, both score the episode again in float64: sums over a long answer's tokens
differ by more than 1e-4 from rounding, and a real difference would stay. Tasks are compared one by one, so memory does
not grow with their number.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from eval.answering import protocol_episode
from eval.config import Protocol
from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.loading import open_model
from metaicl.methods.in_context.icl import InContext
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError, counted
from task_suites.episodes import Episode
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

FILE = "agreement.json"
TOLERANCE = 1e-4  # of a log-probability
ROUNDING = 5e-5  # a larger difference in float32 is looked at in float64
MOST_TOKENS = 1024  # in a batch of the harness, whose logits at all of them take 3 GB at most
CHARACTERS = 3  # of a prompt for each token, at least: a prompt is rather taken for too long than for too short


@dataclass(frozen=True)
class TaskAgreement:
    """How both score the queries of one task at one k.

    Attributes:
        task, k: what was scored.
        queries, options: the number of queries, and of options over all of them.
        max_logprob_diff: the largest difference of an option's log-probability.
        acc, acc_norm: the harness' two accuracies: options by their log-probability, and by it for each character.
        our_acc, our_acc_norm: the same two, by our scores.
        other_choices: queries for which the two choose another option, by either rule.
        seconds, lm_eval_seconds: what scoring took here and there, without loading; the harness' includes making its
            requests.
        dtype: the precision in which both worked.
    """

    task: str
    k: int
    queries: int
    options: int
    max_logprob_diff: float
    acc: float
    acc_norm: float
    our_acc: float
    our_acc_norm: float
    other_choices: int
    seconds: float = 0.0
    lm_eval_seconds: float = 0.0
    dtype: str = "float64"

    @property
    def accuracies_differ(self) -> bool:
        """Whether one of the two accuracies differs."""
        return not np.allclose((self.acc, self.acc_norm), (self.our_acc, self.our_acc_norm), atol=1e-9)


@dataclass(frozen=True)
class Agreement:
    """The comparison on all tasks.

    Attributes:
        tasks: each task at each k.
        skipped: tasks that are not compared, each with its reason.
        lm_eval: the harness' version.
    """

    tasks: tuple[TaskAgreement, ...]
    skipped: Mapping[str, str]
    lm_eval: str

    @property
    def seconds(self) -> float:
        """What scoring took here, in all."""
        return sum(one.seconds for one in self.tasks)

    @property
    def lm_eval_seconds(self) -> float:
        """What scoring took there, in all."""
        return sum(one.lm_eval_seconds for one in self.tasks)

    @property
    def max_logprob_diff(self) -> float:
        """The largest difference of a log-probability over all tasks."""
        return max((one.max_logprob_diff for one in self.tasks), default=0.0)

    @property
    def accuracy_mismatches(self) -> int:
        """The number of tasks and k at which an accuracy differs."""
        return sum(one.accuracies_differ for one in self.tasks)

    def sentence(self) -> str:
        """The comparison in a sentence."""
        agrees = self.max_logprob_diff <= TOLERANCE and not self.accuracy_mismatches
        return (
            f"lm-evaluation-harness {self.lm_eval} {'agrees' if agrees else 'DIFFERS'} on "
            f"{counted(len({t.task for t in self.tasks}), 'task')}: log-probabilities differ by at most "
            f"{self.max_logprob_diff:.1e}, accuracies differ in {self.accuracy_mismatches} of {len(self.tasks)} cells."
        )

    def write(self, folder: Path) -> None:
        """Write the comparison into a run's folder."""
        totals = {"max_logprob_diff": self.max_logprob_diff, "accuracy_mismatches": self.accuracy_mismatches}
        write_text(folder / FILE, json.dumps({**totals, **asdict(self)}, ensure_ascii=False, indent=1) + "\n")


class Scorers:
    """Our scorer and the harness on the same weights, each loaded when the first task needs it.

    Args:
        config: names the model, which learns nothing.

    Raises:
        UserError: lm-evaluation-harness is not installed.
    """

    def __init__(self, config: BackboneConfig):
        self.version = harness_version()
        self._config = replace(config, dtype="float32", weights="frozen")
        self._loaded: dict[torch.dtype, tuple[Mapping[bool, InContext], Any]] = {}

    def _both(self, dtype: torch.dtype) -> tuple[Mapping[bool, InContext], Any]:
        """Return our methods, without demonstrations and with them, and the harness around a transformers model."""
        from lm_eval.models.huggingface import HFLM

        if dtype not in self._loaded:
            backbone = Backbone.load(self._config).to(dtype)
            options = [{"length": "sum", "demonstrations": shots} for shots in (False, True)]
            own = {bool(o["demonstrations"]): InContext.build(backbone, PromptFormat(), o) for o in options}
            model, tokenizer = open_model(self._config.model, dtype)
            device = str(next(model.parameters()).device)
            self._loaded[dtype] = own, HFLM(pretrained=model, tokenizer=tokenizer, batch_size=1, device=device)
        return self._loaded[dtype]

    def compared(self, protocol: Protocol, task: Task, others: Sequence[Task] = ()) -> list[TaskAgreement]:
        """Return how both score a task's first support set, without demonstrations and at each k of the protocol.

        Args:
            protocol: how episodes are drawn.
            task: a task with options.
            others: tasks of which one may lend its inputs, where the protocol requests that.

        Raises:
            UserError: an episode cannot be drawn.
        """
        drawn = {k: protocol_episode(protocol, task, 0, k, others) for k in protocol.k}
        episodes = {0: replace(drawn[min(drawn)], support=()), **drawn}
        return [self._compared(task.name, k, episode) for k, episode in episodes.items()]

    def _compared(self, name: str, k: int, episode: Episode) -> TaskAgreement:
        found = self._compared_in(torch.float32, name, k, episode)
        if found.max_logprob_diff > ROUNDING or found.other_choices or found.accuracies_differ:
            return self._compared_in(torch.float64, name, k, episode)
        return found

    def _compared_in(self, dtype: torch.dtype, name: str, k: int, episode: Episode) -> TaskAgreement:
        own, harness = self._both(dtype)
        method = own[k > 0]
        started = time.monotonic()
        scores = method.adapt(episode.task, episode.support).scores([q.hidden() for q in episode.queries])
        between = time.monotonic()
        with TemporaryDirectory() as folder:
            theirs = harness_answers(harness, episode, Path(folder))
        seconds = round(between - started, 3), round(time.monotonic() - between, 3)
        judged = _judged(name, k, episode, scores, theirs)
        return replace(judged, seconds=seconds[0], lm_eval_seconds=seconds[1], dtype=str(dtype).removeprefix("torch."))


def agreement(tasks: Sequence[Task], protocol: Protocol, config: BackboneConfig) -> Agreement:
    """Compare scores on each task's first support set, without demonstrations and at each k of the protocol.

    Args:
        tasks: tasks of other forms than options are skipped.
        protocol: how episodes are drawn.
        config: names the model, which learns nothing.

    Raises:
        UserError: lm-evaluation-harness is not installed, or no task has options.
    """
    scorers = Scorers(config)
    found: list[TaskAgreement] = []
    skipped: dict[str, str] = {}
    for task in tasks:
        if task.form != "options":
            skipped[task.name] = f"examples of the form {task.form}"
            continue
        try:
            found += scorers.compared(protocol, task, tasks)
        except UserError as error:
            skipped[task.name] = str(error)
    if not found:
        raise UserError(
            "no task can be compared with lm-evaluation-harness", found=skipped, expected="tasks with options"
        )
    return Agreement(tuple(found), skipped, scorers.version)


def harness_version() -> str:
    """Return the version of the installed lm-evaluation-harness.

    Raises:
        UserError: it is not installed.
    """
    import importlib.metadata

    try:
        return importlib.metadata.version("lm_eval")
    except importlib.metadata.PackageNotFoundError:
        fix = 'Install it: pip install "metaicl[lm-eval]"'
        raise UserError("lm-evaluation-harness is not installed", fix=fix) from None


@dataclass(frozen=True)
class HarnessAnswers:
    """What the harness says of one episode: of each query, the log-probability of each option; and its accuracies."""

    scores: list[np.ndarray]
    acc: float
    acc_norm: float


def harness_answers(harness: Any, episode: Episode, folder: Path) -> HarnessAnswers:
    """Return what lm-evaluation-harness says of an episode, by its `evaluate`.

    (Its `simple_evaluate` also lists all installed packages, by a process of its own, in each call.)

    Args:
        harness: its model.
        episode: what it scores; longer prompts run in smaller batches.
        folder: an empty folder for the task's files.
    """
    import datasets
    from lm_eval.evaluator import evaluate
    from lm_eval.tasks import TaskManager

    datasets.disable_progress_bars()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    task = harness_task("episode", episode.support, episode.queries, folder)
    loaded = TaskManager(include_defaults=False).load([task])
    shown = sum(len(e.text) + len(e.output or "") for e in episode.support)
    longest = shown + max(len(q.text) + max(map(len, q.options or ("",))) for q in episode.queries)
    harness.batch_size_per_gpu = max(1, MOST_TOKENS * CHARACTERS // longest)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        found = evaluate(harness, task_dict=loaded, bootstrap_iters=0, log_samples=True)
    assert found is not None
    samples = sorted(found["samples"]["episode"], key=lambda sample: sample["doc_id"])
    scores = [np.array([float(response[0]) for response in sample["filtered_resps"]]) for sample in samples]
    metrics = found["results"]["episode"]
    return HarnessAnswers(scores, metrics["acc,none"], metrics["acc_norm,none"])


def harness_task(name: str, support: Sequence[Example], queries: Sequence[Example], folder: Path) -> dict[str, Any]:
    """Return the harness' configuration of some demonstrations and queries, which are written into `folder`."""
    files = {}
    for split, examples in (("train", support or queries[:1]), ("test", queries)):
        rows = [
            {"input": e.text, "options": list(e.options or ()), "label": (e.options or ()).index(e.output or "")}
            for e in examples
        ]
        files[split] = str(folder / f"{name}-{split}.jsonl")
        write_text(Path(files[split]), "".join(json.dumps(row) + "\n" for row in rows))
    return {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files, "cache_dir": str(folder / "cache" / name)},
        "output_type": "multiple_choice",
        "fewshot_split": "train",
        "test_split": "test",
        "fewshot_config": {"sampler": "first_n"},
        "num_fewshot": len(support),
        "doc_to_text": "{{input}}\nAnswer:",
        "doc_to_choice": "{{options}}",
        "doc_to_target": "label",
        "target_delimiter": " ",
        "fewshot_delimiter": "\n\n",
        "metric_list": [{"metric": "acc"}, {"metric": "acc_norm"}],
    }


def _judged(name: str, k: int, episode: Episode, own: Sequence[np.ndarray], theirs: HarnessAnswers) -> TaskAgreement:
    """Return how both scored one episode."""
    right, other = np.zeros((2, len(episode.queries)), dtype=bool), 0
    for i, (query, ours, harness) in enumerate(zip(episode.queries, own, theirs.scores, strict=True)):
        options = query.options or ()
        lengths = np.array([len(option) for option in options])
        chosen, by_harness = ([int(np.argmax(s)) for s in (x, x / lengths)] for x in (ours, harness))
        right[:, i] = [options[choice] == query.output for choice in chosen]
        other += chosen != by_harness
    return TaskAgreement(
        name,
        k,
        queries=len(episode.queries),
        options=sum(len(scores) for scores in own),
        max_logprob_diff=max(float(np.abs(a - b).max()) for a, b in zip(own, theirs.scores, strict=True)),
        acc=theirs.acc,
        acc_norm=theirs.acc_norm,
        our_acc=float(right[0].mean()),
        our_acc_norm=float(right[1].mean()),
        other_choices=other,
    )
