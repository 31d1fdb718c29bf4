"""Suites at scale: opening a stored suite, drawing episodes from it, tokenising them, and auditing ever more examples.

    python benchmarks/suites.py            1,000 tasks, 5 million examples; some minutes, 1 GB of temporary space
    python benchmarks/suites.py --quick    a smoke run; its numbers mean nothing

The suite is generated (seeded), written by `task_suites.store.write_store` and opened by a fresh process, which itself
is measured:

    open_s                    `open_suite("arrow:FOLDER")` and the first example of every part of every task, each
                              part's bytes checked (header_s: the opening only)
    rss_mb                    resident memory of the process after that, its mapped pages included; after the draws,
                              which touch the pages of what they draw, both it and what is not mapped (anonymous)
    episodes_per_s            16 demonstrations and 16 queries of a training episode, tasks in turn, all examples made;
                              the best of five runs, and the median; the first round over the tasks, which indexes
                              them, is not in it (first_round_per_s is)
    episodes_per_cpu_s        the same by the process's own time: what an idle machine would give
    one_query_episodes_per_s  the same with one query, as MetaICL draws
    tokenised_episodes_per_s  16 + 16, drawn, each segment tokenised (bytes), as one token trie of all options
    cached_episodes_per_s     the same episodes once more: drawn again, the segments' tokens taken from the cache
    leak_check_s              no example of a held-out task lies in a meta-training task: all of them compared by key
    memory_*                  the same draws from a task in memory, small enough to be shuffled whole

Before anything counts, draws from the store are compared with those from the same tasks in memory. The audit runs on
10^4, 10^5 and 10^6 examples; `audit_growth` is the exponent of its own time (the slope of log time over log examples, 1
is linear). The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from task_suites.episodes import LARGE, Episode, EpisodeSampler
from task_suites.example import Example
from task_suites.sources import open_suite
from task_suites.store import write_store
from task_suites.task import Task, TaskSuite

SYLLABLES = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
SAMPLER, ONE_QUERY = EpisodeSampler(0, 16, 16), EpisodeSampler(0, 16, 1)


def words(seed: str, count: int) -> list[str]:
    rng = random.Random(seed)
    return ["".join(rng.choices(SYLLABLES, k=rng.choice((1, 2, 2, 3)))) for _ in range(count)]


def generated(number: int, size: int, split: str, labels: tuple[str, ...]) -> list[Example]:
    """Nine tenths of a task's examples for train and the rest for test: 8 to 16 words, no two inputs alike."""
    rng = random.Random(f"suites/{number}/{split}")
    lexicon = words(f"suites/{number}", 2000)
    count = size - size // 10 if split == "train" else size // 10
    return [
        Example(
            f"{' '.join(rng.choices(lexicon, k=rng.randint(8, 16)))} {number}-{split}-{i}", rng.choice(labels), labels
        )
        for i in range(count)
    ]


def generated_task(number: int, size: int) -> Task:
    labels = tuple(dict.fromkeys(words(f"suites/labels/{number}", 2 + number % 7)))
    labels = labels if len(labels) > 1 else ("yes", "no")
    load = partial(generated, number, size, labels=labels)
    return Task(f"task{number:04d}", "classification", load, "Say which kind it is.", labels)


def generated_suite(tasks: int, examples: int) -> TaskSuite:
    made = {task.name: task for task in (generated_task(number, examples // tasks) for number in range(tasks))}
    names, part = tuple(made), max(1, tasks // 10)
    splits = {"meta_train": names[2 * part :], "meta_validation": names[:part], "meta_test": names[part : 2 * part]}
    return TaskSuite("generated", made, splits)


def rss_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def anonymous_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) / 2**10


def rate(do: Callable[[int], object], start: int, seconds: float) -> tuple[float, int]:
    """Return (calls a second, the number after the last) of `do(start)`, `do(start + 1)` and so on."""
    number, began = start, time.perf_counter()
    while True:
        for _ in range(50):
            do(number)
            number += 1
        if (passed := time.perf_counter() - began) >= seconds:
            return (number - start) / passed, number


def check_draws(tasks: Sequence[Task], size: int) -> None:
    """Hold the draws of ten tasks equal to those of the same tasks made again in memory."""
    for number in range(0, len(tasks), max(1, len(tasks) // 10)):
        again = generated_task(number, size)
        for role, index in (("train", number), ("test", 3)):
            assert SAMPLER.draw(tasks[number], role, index) == SAMPLER.draw(again, role, index), tasks[number].name


def measure(folder: str, size: int, seconds: float) -> dict[str, Any]:
    """Return what the fresh process does."""
    began = time.perf_counter()
    suite = open_suite(f"arrow:{folder}")
    opened = time.perf_counter()
    tasks = list(suite.tasks.values())
    for task in tasks:
        assert task.examples("train")[0].output in task.labels and task.examples("test")[0].output in task.labels
    touched, memory = time.perf_counter(), rss_mb()

    check_draws(tasks, size)

    def draw(sampler: EpisodeSampler, number: int) -> Episode:
        return sampler.draw(tasks[number % len(tasks)], "train", number)

    before = time.perf_counter()
    for number in range(len(tasks)):
        draw(SAMPLER, number)
    first_round = len(tasks) / (time.perf_counter() - before)
    before = time.process_time()
    end, episodes = len(tasks), []
    for _ in range(5):
        per_second, end = rate(partial(draw, SAMPLER), end, seconds / 5)
        episodes.append(per_second)
    busy = time.process_time() - before
    one_query, _ = rate(partial(draw, ONE_QUERY), end, seconds)
    drawn_memory = {"rss_after_draws_mb": rss_mb(), "anonymous_after_draws_mb": anonymous_mb()}

    before = time.perf_counter()
    suite.assert_no_leak()
    leak_check = time.perf_counter() - before

    small = generated_task(0, LARGE)
    in_memory, _ = rate(lambda number: SAMPLER.draw(small, "train", number), 0, seconds / 2)
    return {
        "open_s": touched - began,
        "header_s": opened - began,
        "rss_mb": memory,
        "episodes_per_s": max(episodes),
        "episodes_per_s_median": statistics.median(episodes),
        "episodes_per_cpu_s": (end - len(tasks)) / busy,
        "one_query_episodes_per_s": one_query,
        "first_round_per_s": first_round,
        **drawn_memory,
        "leak_check_s": leak_check,
        "memory_episodes_per_s": in_memory,
        "memory_examples": len(small.examples("train")),
        **tokenised(partial(draw, SAMPLER), seconds),
    }


def tokenised(draw: Callable[[int], Episode], seconds: float) -> dict[str, float]:
    """Episodes a second as token tries, with empty and with filled caches of the segments' tokens."""
    from metaicl.lm.prompt_tree import PromptTree  # imports torch, whose memory is not to count above
    from task_suites.formats.prompt_format import PromptFormat

    cache: dict[str, list[int]] = {}

    def encode(text: str) -> list[int]:
        if text not in cache:
            cache[text] = list(text.encode())
        return cache[text]

    def tree(number: int) -> PromptTree:
        episode = draw(number)
        form, made, after = PromptFormat().of(episode.task), PromptTree(), -1
        for segment in form.opening(episode.task) + [s for e in episode.support for s in form.demonstration(e)]:
            after = (made.insert(after, encode(segment.text)) or [after])[-1]
        for query in episode.queries:
            for option in query.options or ():
                at = after
                for segment in form.branch(query, option):
                    at = (made.insert(at, encode(segment.text)) or [at])[-1]
        return made

    cold, end = rate(tree, 10**6, seconds)
    count, began = end - 10**6, time.perf_counter()
    nodes = [len(tree(number)) for number in range(10**6, end)]
    warm = count / (time.perf_counter() - began)
    tokens = sum(nodes) / len(nodes)
    return {"tokenised_episodes_per_s": cold, "cached_episodes_per_s": warm, "tokens_per_episode": tokens}


def audited(sizes: Sequence[int]) -> dict[str, Any]:
    """Return the audit's throughput at each size, and the exponent of its growth."""
    from task_suites.audit.run import audit_suite

    audit_suite(generated_suite(3, 60))  # imports are not growth
    seconds, busy = [], []
    for size in sizes:
        suite = generated_suite(max(3, size // 1000), size)
        for task in suite.tasks.values():
            task.examples("train"), task.examples("test")  # generating them is not auditing them
        began, before = time.perf_counter(), time.process_time()
        audit_suite(suite)
        seconds.append(time.perf_counter() - began)
        busy.append(time.process_time() - before)
        print(f"audit of {size:,} examples: {seconds[-1]:.1f} s, {busy[-1]:.1f} s of its own time", flush=True)
    logs = [(math.log(size), math.log(s)) for size, s in zip(sizes, busy, strict=True)]
    mean_x, mean_y = (sum(column) / len(logs) for column in zip(*logs, strict=True))
    slope = sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)
    return {
        "audit_examples": list(sizes),
        "audit_s": seconds,
        "audit_cpu_s": busy,
        "audit_examples_per_s": sizes[-1] / seconds[-1],
        "audit_growth": slope,
    }


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return [rounded(item) for item in value] if isinstance(value, list) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--examples", type=int, default=5_000_000)
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each rate is measured")
    parser.add_argument("--audit", type=int, nargs="*", default=[10**4, 10**5, 10**6], help="sizes; none skips it")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # the fresh process
    args = parser.parse_args()
    if args.quick:
        args.tasks, args.examples, args.seconds = 12, 12 * 2 * LARGE, 0.2
        args.audit = args.audit and [500, 1000, 2000]
    size = args.examples // args.tasks
    if args.measure:
        print(json.dumps(measure(args.measure, size, args.seconds)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder, began = Path(scratch) / "stored", time.perf_counter()
        write_store(generated_suite(args.tasks, args.examples), folder)
        line: dict[str, Any] = {
            "generate_and_write_s": time.perf_counter() - began,
            "store_mb": sum(p.stat().st_size for p in folder.iterdir()) / 2**20,
        }
        print(f"wrote {args.examples:,} examples of {args.tasks:,} tasks: {line}", flush=True)
        command = [sys.executable, __file__, "--measure", str(folder), "--seconds", str(args.seconds)]
        command += ["--tasks", str(args.tasks), "--examples", str(args.examples)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        line |= json.loads(done.stdout.splitlines()[-1])
        print(line, flush=True)
    if args.audit:
        line |= audited(args.audit)
    from metaicl.training.run import manifest

    head = {"benchmark": "suites", "tasks": args.tasks, "examples": args.examples}
    tail = {name: value for name, value in manifest().items() if name in ("machine", "versions")}
    print(json.dumps(head | {key: rounded(value) for key, value in line.items()} | tail))


if __name__ == "__main__":
    main()
