"""Toys whose answers stand in the support set only, and the recipes with which a two-layer random model learns them in
seconds."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import torch
from scipy.special import softmax

from metaicl.methods import method_class
from metaicl.methods.base import Method
from task_suites.core.idle import defaults_of
from task_suites.episodes import Episode
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

SHORT = PromptFormat(answer=":", separator="\n")
CUES, WORDS, LETTERS = ("aaaa", "zzzz"), ("lemon", "cobra"), "mnopqrst"
EpisodeOf = Callable[[str, bool], Episode]  # from a name, and which of two tasks


def cue_episode(name: str, swapped: bool, k: int = 4, queries: int = 4) -> Episode:
    """Inputs of two kinds, told apart by their letters; which of two arbitrary words stands for which kind is the
    task's own. The same name gives the same inputs to both tasks, so that who does not read the demonstrations' answers
    is right in exactly half of the queries of the two."""
    words = WORDS[::-1] if swapped else WORDS
    rows = [Example(text, words[i % 2], WORDS) for i, text in enumerate(_inputs(name, k + queries))]
    return _episode(f"cue {swapped}", name, rows, k)


def copy_episode(name: str, swapped: bool = False, k: int = 4, queries: int = 4) -> Episode:
    """Every answer of the episode is the same letter of four, all drawn for the episode.

    It is what a small model learns to read off its prompt in seconds (to match cues with answers takes it very long).
    """
    rng = random.Random(f"letters/{name}")
    options = tuple(sorted(rng.sample(LETTERS, 4)))
    answer = rng.sample(options, 2)[swapped]
    return _episode("copy", name, [Example(text, answer, options) for text in _inputs(name, k + queries)], k)


def _inputs(name: str, count: int) -> list[str]:
    """Inputs of the two kinds in turn, none twice."""
    numbers = random.Random(f"inputs/{name}").sample(range(10, 100), count)
    return [f"{number} {CUES[i % 2]}" for i, number in enumerate(numbers)]


def _episode(task_name: str, name: str, rows: Sequence[Example], k: int) -> Episode:
    support = list(rows[:k])
    random.Random(f"order/{name}").shuffle(support)
    task = Task(task_name, "classification", lambda split: list(rows), "Answer.", labels=rows[0].options or ())
    return Episode((0, task_name, name, 0), task, tuple(support), tuple(rows[k:]))


def meta_train(method: Method, episode_of: EpisodeOf, steps: int, lr: float = 5e-3, batch: int = 4) -> Method:
    """Some steps of AdamW over episodes of both tasks in turn."""
    learned = list(method.learned().values())
    optimizer = torch.optim.AdamW(learned, lr=lr, weight_decay=0.0)
    for step in range(steps):
        loss, weight = method([episode_of(f"train {step} {i}", bool(i % 2)) for i in range(batch)])
        optimizer.zero_grad()
        (loss / weight).backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
    return method


def share_right(method: Method, episode_of: EpisodeOf, with_support: bool = True, count: int = 3) -> float:
    """Return the share of right answers over `count` held-out episodes of each of both tasks."""
    right = []
    for i in range(count):
        for swapped in (False, True):
            e = episode_of(f"test {i}", swapped)
            answers = method.adapt(e.task, e.support if with_support else ()).answers([q.hidden() for q in e.queries])
            right += [a.text == q.output for a, q in zip(answers, e.queries, strict=True)]
    return sum(right) / len(right)


def certainty(
    method: Method, episode_of: EpisodeOf, with_support: bool = True, count: int = 2, name: str = "test"
) -> float:
    """Return the mean probability of the right answer over `count` held-out episodes of each of both tasks.

    Both tasks ask the same queries with the same options and differ in the answers. So without demonstrations it is
    exactly 1/2 for two options, of which one is right in either task, and at most 1/2 for more: no model, no rounding
    and no luck can move it. A share of right answers jumps by a whole query where two scores are a rounding apart.
    """
    found = []
    for i in range(count):
        for swapped in (False, True):
            e = episode_of(f"{name} {i}", swapped)
            scores = method.adapt(e.task, e.support if with_support else ()).scores([q.hidden() for q in e.queries])
            for row, q in zip(scores, e.queries, strict=True):
                assert q.options and q.output
                found.append(float(softmax(row)[q.options.index(q.output)]))
    return sum(found) / len(found)


def recipe(name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (options, meta-training) with which a method adapts to the cue toy; most are not meta-trained at all."""
    defaults = defaults_of(method_class(name).Config)
    if name == "relation":
        return {}, {"steps": 40, "lr": 1e-2}
    if name == "snail":
        return {"slots": 4, "length": 16, "width": 32}, {"steps": 50, "lr": 3e-3, "batch": 4}
    if "inner_steps" in defaults:
        few = {n: 2 for n in ("members", "particles") if n in defaults}
        return {"inner_steps": 6, "test_steps": 6, "inner_lr": 0.9, "objective": "options", **few}, {}
    if name in ("prefix_tuning", "prompt_tuning"):
        return {"steps": 30, "lr": 0.1, "num_virtual_tokens": 4, "objective": "options"}, {}
    if name in ("finetune", "transfer"):
        return {"steps": 40, "lr": 2e-2, "objective": "options"}, {}
    return {}, {}
