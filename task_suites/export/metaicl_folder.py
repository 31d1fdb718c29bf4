"""MetaICL's folders: data/<task>/<task>_<k>_<seed>_<split>.jsonl, config/suite.json, config/tasks/<task>.json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from task_suites.core.atomic import write_lines
from task_suites.example import Example
from task_suites.export.writer import PARTS, Writer, all_examples, has_several_answers, text_problem, write_json
from task_suites.task import META_SPLITS, Task, TaskSuite

TRAIN_K, TARGET_K = 16384, 16  # MetaICL's defaults for meta-training and target tasks
SEEDS = (100, 13, 21, 42, 87)  # of MetaICL's target tasks


def _problem(task: Task) -> str | None:
    if task.form == "tags":
        return "tags (MetaICL has options and free text)"
    examples = all_examples(task)
    if has_several_answers(task):
        return "further right answers"
    if task.labels and any(e.options != task.labels for e in examples):
        return "options that differ from the task's labels"
    return text_problem(task)


def _write(suite: TaskSuite, folder: Path) -> str:
    """Write all items at (k, seed) = (16384, 100); besides, 16 shots at MetaICL's five seeds for tasks not trained on.

    16384 is a cap in MetaICL and only a name here: no item is left out. MetaICL knows two sides; tasks for
    meta-validation are the targets of a setting of their own.
    """
    from task_suites.episodes import EpisodeSampler

    trained = {task.name for task in suite.split("meta_train")}
    for task in suite.tasks.values():
        home = folder / "data" / task.name
        kind = "classification" if task.labels else "multi-choice" if task.form == "options" else "free-form"
        write_json(
            folder / "config/tasks" / f"{task.name}.json", {"task_type": kind, "options": list(task.labels) or None}
        )
        parts = {part: [_row(task.name, e) for e in task.examples(part)] for part in PARTS}
        for part in PARTS:
            write_lines(home / f"{task.name}_{TRAIN_K}_100_{part}.jsonl", parts[part])
        if task.name in trained or len({e.content for e in task.examples("train")}) < TARGET_K:
            continue
        for seed in SEEDS:
            shots = EpisodeSampler(seed, TARGET_K, 1, balance="natural").draw(task, "test", 0).support
            write_lines(home / f"{task.name}_{TARGET_K}_{seed}_train.jsonl", [_row(task.name, e) for e in shots])
            write_lines(home / f"{task.name}_{TARGET_K}_{seed}_test.jsonl", parts["test"])
    sides = {side: [task.name for task in suite.split(side)] for side in META_SPLITS}
    write_json(folder / "config/suite.json", {"train": sides["meta_train"], "test": sides["meta_test"]})
    if sides["meta_validation"]:
        write_json(folder / "config/validation.json", {"train": sides["meta_train"], "test": sides["meta_validation"]})
    return f"metaicl:{{}}?setting=suite&k={TRAIN_K}&seed=100&overlap=allow"  # sides are as the suite has them


def _row(name: str, example: Example) -> dict[str, Any]:
    return {
        "task": name,
        "input": example.input,
        "output": example.output,
        "options": list(example.options or ()),
    }


WRITER = Writer(_problem, _write)
