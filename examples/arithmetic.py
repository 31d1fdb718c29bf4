"""A source of one's own: tasks about small numbers, made in code. In this folder:

metaicl suites list arithmetic:numbers
metaicl train --suite arithmetic:numbers --max_steps 20
"""

import random

from task_suites.example import Example
from task_suites.task import Task, TaskSuite

QUESTIONS = {
    "parity": ("Is the number odd or even?", ("odd", "even"), lambda n: "even" if n % 2 == 0 else "odd"),
    "size": ("Is the number small or large?", ("small", "large"), lambda n: "large" if n >= 500 else "small"),
    "digits": (
        "How many digits has the number?",
        ("one", "two", "three"),
        lambda n: ("one", "two", "three")[len(str(n)) - 1],
    ),
    "tens": ("Is the number a multiple of ten?", ("yes", "no"), lambda n: "no" if n % 10 else "yes"),
}


def numbers() -> TaskSuite:
    """Four tasks: two to meta-train on, one for each other side."""
    tasks = {name: _task(name, *question) for name, question in QUESTIONS.items()}
    sides = {"meta_train": ("parity", "size"), "meta_validation": ("digits",), "meta_test": ("tens",)}
    return TaskSuite("numbers", tasks, sides)


def _task(name, instruction, labels, answer):
    def load(part):  # a function of names only: opened again, it gives the same examples
        rng = random.Random(f"numbers/{name}")
        drawn = rng.sample([n for n in range(1, 1000) if n < 10 or n % 3], 200)
        return [
            Example(f"{instruction} {n}", answer(n), labels) for n in (drawn[:120] if part == "train" else drawn[120:])
        ]

    return Task(name, "classification", load, instruction, labels, "accuracy", family=name)
