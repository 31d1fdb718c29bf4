"""Kills trainings with SIGKILL at random moments, starts them again, and compares them with one that was not killed.

    .venv/bin/python benchmarks/resume.py            # 20 trainings of a tiny model; a few minutes

Every second training is killed once or twice at any moment of its time; the others between the last step and the end,
where checkpoints, mean weights and best weights are written. Then the same command runs until it ends by itself.
Identical means: the same bytes of weights (best and last) and optimiser states, and the same lines of metrics.jsonl,
validations among them, but for times and memory.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch; a child that is forked must find no threads of its parent

import torch

from eval.answering import make_validate
from metaicl.lm.config import BackboneConfig
from metaicl.training.config import TrainerConfig, TrainRun, ValidationConfig
from metaicl.training.identity import read_record
from metaicl.training.run import manifest, train_run
from task_suites.example import Example
from task_suites.sources import SuiteConfig
from task_suites.task import Task, TaskSuite

LABELS = ("fruit", "tool")
TIMES = ("seconds", "tokens_per_second", "queries_per_second", "peak_memory", "matmul_share")


def small_suite() -> TaskSuite:
    """Five tasks of short sentences: three to train on, one to validate on, one held out."""

    def task(name: str) -> Task:
        def load(part: str) -> list[Example]:
            words = [("fig", "plum", "lime"), ("saw", "axe", "file")]
            return [Example(f"{name} {part} {i}: {words[i % 2][i // 2 % 3]}", LABELS[i % 2], LABELS) for i in range(40)]

        return Task(name, "classification", load, labels=LABELS)

    names = {"meta_train": ("a", "b", "c"), "meta_validation": ("d",), "meta_test": ("e",)}
    return TaskSuite("small", {name: task(name) for side in names.values() for name in side}, names)


def training(output: Path) -> TrainRun:
    """Return a training of a second or so with checkpoints, validations and averaged weights."""
    return TrainRun(
        output_dir=str(output / "metaicl"),
        suite=SuiteConfig(["small"]),
        backbone=BackboneConfig(model="tiny-random", dtype="float32", device="cpu", lora_r=4),
        trainer=TrainerConfig(
            max_steps=16,
            k=2,
            queries=2,
            warmup_steps=2,
            logging_steps=1,
            eval_steps=4,
            save_steps=3,
            early_stopping_patience=9,
        ),
        validation=ValidationConfig(k=2, queries=4),
        progress=False,
    )


def start(run: TrainRun, suite: TaskSuite) -> int:
    """Begin or continue a training in a process of its own; its id."""
    return forked(lambda: train_run(run, make_validate, lambda text: None, suite))


def forked(work: Callable[[], object]) -> int:
    """Do some work in a process of its own; its id. (A fork: loading the libraries takes seconds.)"""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def ended(child: int, wait: bool = True) -> int | None:
    """Return the exit code of a child, negative for a signal; None where it runs on."""
    found, status = os.waitpid(child, 0 if wait else os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def killed(child: int, seconds: float) -> bool:
    """Kill a child after this many seconds; whether it was still there."""
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)  # a process that has ended waits for us, so the id is still its own
    return ended(child) == -signal.SIGKILL


def last_step_taken(run: TrainRun, child: int) -> bool:
    """Wait until the last step is logged; false where the child ended before we saw it."""
    path, last = run.folder / "metrics.jsonl", f'"step": {run.trainer.max_steps},'
    while not (path.is_file() and last in path.read_text(encoding="utf-8")):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return False
        time.sleep(0.001)
    return True


def kill_some(run: TrainRun, suite: TaskSuite, rng: random.Random, times: int, tail: float | None, took: float) -> int:
    """Start a training and kill it, this many times; how often it was still there.

    Args:
        tail: kill within this many seconds of the last step; None: within `took` seconds of the start.
    """
    for hit in range(times):
        child = start(run, suite)
        if tail is not None and not last_step_taken(run, child):
            ended(child)
            return hit
        if not killed(child, rng.uniform(0, took if tail is None else tail)):
            return hit
    return times


def outcome(folder: Path) -> dict[str, Any]:
    """Return what a training leaves: weights, optimiser and metrics, in a form that can be compared."""
    newest = max((folder / "checkpoints").iterdir(), key=lambda p: p.name)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    best = {p.name: p.read_bytes() for p in (folder / "best").iterdir() if p.suffix == ".safetensors"}
    return {
        "weights": [best, torch.load(newest / "learned.pt")],
        "optimizer": torch.load(newest / "optimizer.bin"),
        "metrics": [{n: v for n, v in row.items() if n not in TIMES} for row in rows if "loss" in row],
        "validation": [row for row in rows if "validation" in row],
        "files": sorted(p.name for p in (*folder.iterdir(), *(folder / "checkpoints").iterdir())),
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20, help="trainings that are killed")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--quick", action="store_true", help="two of them")
    options = parser.parse_args()
    suite = small_suite()
    for name in ("accelerate", "peft", "torch.utils.tensorboard", "transformers.models.llama.modeling_llama"):
        importlib.import_module(name)  # here once, not in each child
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        straight = training(Path(place) / "straight")
        child = start(straight, suite)
        last_step_taken(straight, child)
        tail = time.monotonic()
        if ended(child) != 0:
            sys.exit("the training that is not killed failed")
        tail = time.monotonic() - tail
        record = read_record(straight.folder)
        assert record is not None and record.finished is not None
        wanted, counts = outcome(straight.folder), dict.fromkeys(("weights", "optimizer", "metrics", "validation"), 0)
        took = time.monotonic() - began
        kills = clean = 0
        for number in range(options.runs if not options.quick else 2):
            rng = random.Random(f"{options.seed}/{number}")
            for attempt in itertools.count():  # one that ended before it was killed is not a trial: another folder
                run = training(Path(place) / f"killed-{number}-{attempt}")
                if hit := kill_some(run, suite, rng, 1 + number // 2 % 2, tail if number % 2 else None, took):
                    break
            if ended(start(run, suite)) != 0:
                sys.exit(f"training {number} did not continue")
            found = outcome(run.folder)
            alike = {name: same(wanted[name], found[name]) for name in counts}
            counts = {name: counts[name] + alike[name] for name in counts}
            clean += found["files"] == wanted["files"]
            kills += hit
            print(f"training {number}: {hit} kills, {'identical' if all(alike.values()) else alike}", flush=True)
    result = {
        "benchmark": "resume",
        "runs": number + 1,
        "kills_tried": kills,
        **{f"{name}_identical": count for name, count in counts.items()},
        "folders_alike": clean,
        "seconds": round(time.monotonic() - began, 1),
        "model": "tiny-random",
        "steps": straight.trainer.max_steps,
        "threads": torch.get_num_threads(),
        **{name: value for name, value in manifest().items() if name in ("machine", "versions")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
