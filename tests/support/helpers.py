"""Folders of tasks for tests, written as a user would write them, and small tasks whose class sizes a test chooses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from task_suites.example import Example
from task_suites.task import Task

LABELS = ["good", "bad"]
REALTASKS = Path(__file__).resolve().parents[3] / "shared" / "data" / "realtasks"


def rows(name: str, part: str, size: int = 6) -> list[dict[str, Any]]:
    """JSON rows of a two-class task whose inputs name task and part, so that no two tasks share one."""
    return [{"input": f"{name} {part} item {i}", "output": LABELS[i % 2], "options": list(LABELS)} for i in range(size)]


def write_task(suite: Path, name: str = "mood", header: Mapping[str, Any] | None = None, **parts: Any) -> Path:
    """`suite/name` with task.yaml, train.jsonl and test.jsonl.

    `header` changes keys of task.yaml; `train` and `test` are rows (objects), or the text or bytes of the file.
    """
    folder = suite / name
    folder.mkdir(parents=True, exist_ok=True)
    keys = {"name": name, "type": "classification", "labels": LABELS, "metric": "macro_f1", **(header or {})}
    (folder / "task.yaml").write_text(yaml.safe_dump(keys, sort_keys=False), encoding="utf-8")
    for part in ("train", "test"):
        content = parts.get(part, rows(name, part))
        if not isinstance(content, (str, bytes)):
            content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in content)
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{part}.jsonl").write_bytes(data)
    return folder


def make_folder(
    parent: Path, splits: Mapping[str, Sequence[str]] | None = None, tasks: Sequence[str] = ("mood", "taste", "topic")
) -> Path:
    """Return a sound suite of three small tasks, one on each side unless `splits` says otherwise."""
    folder = parent / "suite"
    for name in tasks:
        write_task(folder, name)
    if splits is None:
        splits = {"meta_train": [tasks[0]], "meta_validation": [tasks[1]], "meta_test": list(tasks[2:])}
    content = {"name": "small", "description": "three tasks", "splits": {side: list(of) for side, of in splits.items()}}
    (folder / "suite.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return folder


def sized_task(sizes: Mapping[str, int], test: int = 12, name: str = "sized") -> Task:
    """Return a classification task with this many train examples of each class."""
    labels = tuple(sizes)

    def load(part: str) -> list[Example]:
        if part == "test":
            return [Example(f"{name} test {i}", labels[i % len(labels)], labels) for i in range(test)]
        return [Example(f"{name} {label} {i}", label, labels) for label, n in sizes.items() for i in range(n)]

    return Task(name, "classification", load, labels=labels)


def launch_two(script: str, folder: Path, timeout: int) -> None:
    """Run a script on two processes on CPU; its arguments are the folder, this one and the project's."""
    path, here = folder / "two.py", Path(__file__).resolve().parent
    path.write_text(script)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", str(path), str(folder)]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    subprocess.run([*command, str(here), str(here.parents[1])], check=True, env=environment, timeout=timeout)


def in_fresh_process(expression: str, module: str, hash_seed: int) -> str:
    """Return what `print` writes of an expression in a process of its own, where `t` is the named module."""
    paths = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": paths}
    code = f"import {module} as t; print({expression})"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
