"""The tasks of a paper's protocol: which there are, with which demonstrations, and cut to the paper's length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from eval.config import Protocol, ReproduceRun
from eval.reproduce.protocol import Published
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.metaicl_names import source_of
from task_suites.sources import open_suite
from task_suites.sources.metaicl_folder import setting_names
from task_suites.task import Task, TaskSuite

SPECIAL = 2  # tokens that MetaICL's code leaves free in each example


def held_out_tasks(published: Published, run: ReproduceRun, tokenizer: Any) -> dict[int, list[Task]]:
    """Return the evaluated tasks by seed: train examples of the seed, test examples of the first one.

    Raises:
        UserError: the folder lacks one of the tasks, or a train file has another number of examples than k.
    """
    suites = {seed: _opened(published, run, seed) for seed in published.seeds[: run.seeds or None]}
    first = next(iter(suites.values()))
    names = _target_names(published, run, first)
    found = {}
    for seed, suite in suites.items():
        tasks = [_with_tests_of(suite[name], first[name]) for name in names]
        if published.support == "files":
            for task in tasks:
                _check_size(task, published.k, seed)
        found[seed] = [cut(task, tokenizer, published.example_tokens) for task in tasks]
    return found


def training_suite(published: Published, run: ReproduceRun, tokenizer: Any) -> TaskSuite:
    """Return the tasks that rows are meta-trained on."""
    name = published.training_suite or published.suite
    suite = open_suite(_filled(name, published, run, published.seeds[0]))
    if not suite.split("meta_train"):
        fix = "Write the data of this setting with the paper's own scripts."
        raise UserError(f"no meta-training task for the setting {run.setting}", where=run.data, fix=fix)
    return suite.replace_tasks(lambda task: cut(task, tokenizer, published.example_tokens))


def protocol_of(published: Published, tasks: Sequence[Task], seeds: int, queries: int) -> Protocol:
    """Return the protocol of one of a paper's draws, or of `seeds` draws of our own.

    Args:
        queries: the most queries of a task; 0 takes all.
    """
    most = queries or max(len(task.examples("test")) for task in tasks)
    if published.support == "files":
        shown: dict[str, list[int | str]] = {task.name: list(range(published.k)) for task in tasks}
        return Protocol([published.k], 1, most, demonstrations=shown)
    return Protocol([published.k], seeds, most)


def seen_sources(published: Published, run: ReproduceRun, tasks: Sequence[Task]) -> list[str]:
    """Return the evaluated tasks whose source data set is also that of a task of meta-training."""
    if not published.training_suite:
        return []
    trained, _ = setting_names(Path(run.data), _setting(published, run))
    sources = {source_of(name) for name in trained}
    return [task.name for task in tasks if task.source in sources]


def cut(task: Task, tokenizer: Any, limit: int) -> Task:
    """Return a task whose examples have at most `limit` tokens, as MetaICL counts them: inputs are cut at their end."""
    if not limit:
        return task

    def load(split: str) -> list[Example]:
        return [_shortened(example, tokenizer, limit) for example in task.examples(split)]

    return task.replace(load=load)


def _shortened(example: Example, tokenizer: Any, limit: int) -> Example:
    longest = max(example.options or (example.output or "",), key=len)
    if example.tokens is not None or len(f"{example.input}{longest}".encode()) + SPECIAL < limit:
        return example  # a token has a byte at least
    encode = partial(tokenizer, add_special_tokens=False)
    answers = example.options or (example.output or "",)
    left = limit - SPECIAL - max(len(encode(f"\n{answer}")["input_ids"]) for answer in answers)
    ends = encode(example.input, return_offsets_mapping=True)["offset_mapping"]
    if len(ends) <= max(1, left):
        return example
    return replace(example, input=example.input[: ends[max(1, left) - 1][1]])


def _with_tests_of(task: Task, first: Task) -> Task:
    """Return a task with the test examples of another draw of it, which is the paper's for all seeds."""
    if task is first:
        return task
    load: Callable[[str], Sequence[Example]] = lambda split: (task if split == "train" else first).examples(split)  # noqa: E731
    return task.replace(load=load)


def _check_size(task: Task, k: int, seed: int) -> None:
    if (found := len(task.examples("train"))) != k:
        what = f"task {task.name}: the train file of seed {seed} has {found} examples"
        raise UserError(what, expected=f"k={k}", fix="Write the data of all seeds with the paper's own script.")


def _opened(published: Published, run: ReproduceRun, seed: int) -> TaskSuite:
    return open_suite(_filled(published.suite, published, run, seed))


def _target_names(published: Published, run: ReproduceRun, suite: TaskSuite) -> list[str]:
    """Return the evaluated tasks' names: the setting's where the suite has no sides of its own."""
    if not published.training_suite:
        return [task.name for task in suite.split("meta_test")]
    _, names = setting_names(Path(run.data), _setting(published, run))
    if lost := [name for name in names if name not in suite.tasks]:
        what = f"{len(lost)} of the {len(names)} target tasks of {run.setting} are not there"
        raise UserError(what, where=run.data, found=f"no {lost[0]}", fix="Write the test data of all target tasks.")
    return names


def _setting(published: Published, run: ReproduceRun) -> str:
    """Return the setting by the name that the folder has it by, else by this package's."""
    own = (Path(run.data) / "config" / f"{run.setting}.json").is_file()
    return run.setting if own else published.setting_files.get(run.setting, run.setting)


def _filled(name: str, published: Published, run: ReproduceRun, seed: int) -> str:
    return name.format(data=run.data, setting=_setting(published, run), seed=seed)
