"""Tasks with sources, families and domains, for tests of splits."""

from __future__ import annotations

from task_suites.example import Example
from task_suites.task import Task, TaskSuite


def load(part: str) -> list[Example]:
    return [Example(f"{part} {i}", "yes", ("yes", "no")) for i in range(3)]


def task(name: str, source: str = "", family: str = "", domain: str = "") -> Task:
    return Task(name, "classification", load, labels=("yes", "no"), source=source, family=family, domain=domain)


def suite(*tasks: Task) -> TaskSuite:
    return TaskSuite("toy", {t.name: t for t in tasks}, {})


TASKS = [task(f"t{i}", f"source {i // 2}", f"family {i // 4}", f"domain {i // 8}") for i in range(48)]
