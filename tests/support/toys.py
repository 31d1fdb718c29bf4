"""Small tasks made in code."""

from __future__ import annotations

import random

from task_suites.example import Example
from task_suites.task import Task, TaskSuite

FRUIT = ["apple", "pear", "plum", "fig", "lime", "kiwi", "date", "peach", "grape", "mango"]
TOOL = ["saw", "axe", "file", "drill", "clamp", "plane", "chisel", "hammer", "wrench", "pliers"]


def toy_task(name: str = "toy", labels: tuple[str, ...] = ("fruit", "tool"), size: int = 60) -> Task:
    """Is it a fruit or a tool: short sentences, two classes in turn."""

    def load(split: str) -> list[Example]:
        rng = random.Random(f"{name}/{split}")
        rows = []
        for i in range(size):
            word = rng.choice((FRUIT, TOOL)[i % 2])
            rows.append(Example(f"{split} {i}: the {word}", labels[i % 2], labels))
        return rows

    return Task(name, "classification", load, instruction="Say what it is.", labels=labels, metric="accuracy")


def choice_task(name: str = "choice", size: int = 40) -> Task:
    """Options of each example's own."""

    def load(split: str) -> list[Example]:
        rng = random.Random(f"{name}/{split}")
        rows = []
        for i in range(size):
            options = (rng.choice(FRUIT), rng.choice(TOOL))
            options = options if i % 2 else options[::-1]
            rows.append(Example(f"{split} {i}: which can be eaten?", options[i % 2 - 1], options))
        return rows

    return Task(name, "multiple_choice", load)


def text_task(name: str = "text", size: int = 40) -> Task:
    def load(split: str) -> list[Example]:
        rng = random.Random(f"{name}/{split}")
        return [Example(f"{split} {i}: repeat {word}", word) for i in range(size) if (word := rng.choice(FRUIT))]

    return Task(name, "generation", load, metric="exact_match")


def tag_task(name: str = "tags", size: int = 40) -> Task:
    def load(split: str) -> list[Example]:
        rng = random.Random(f"{name}/{split}")
        rows = []
        for i in range(size):
            tokens = ("item", str(i), split, rng.choice(FRUIT), "and", rng.choice(TOOL))
            rows.append(Example(tokens=tokens, tags=("O", "O", "O", "B-FRUIT", "O", "B-TOOL")))
        return rows

    return Task(name, "tagging", load, metric="span_f1")


def toy_suite() -> TaskSuite:
    """Three meta-training tasks, one for meta-validation, two for meta-testing; importable as a source of one's own."""
    tasks = [toy_task(f"train{i}", (f"a{i}", f"b{i}")) for i in range(3)]
    tasks += [toy_task("val", ("x", "y")), toy_task("test0", ("p", "q")), toy_task("test1", ("left", "right"))]
    named = {t.name: _apart(t) for t in tasks}
    splits = {
        "meta_train": ("train0", "train1", "train2"),
        "meta_validation": ("val",),
        "meta_test": ("test0", "test1"),
    }
    return TaskSuite("toys", named, splits)


def _apart(task: Task) -> Task:
    """Return the task with its name in every input, so that no two tasks share an example."""

    def load(split: str) -> list[Example]:
        return [Example(f"{task.name} {e.input}", e.output, e.options) for e in task.examples(split)]

    return task.replace(load=load)
