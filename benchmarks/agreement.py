"""Do our scores agree with those of lm-evaluation-harness, and how much longer does it take?

    .venv/bin/python benchmarks/agreement.py --suite ../shared/data/realtasks --queries 4 --output agreement.jsonl

Every task of a suite that has options, without demonstrations and with some: both score the same queries on the same
weights, in float32, and again in float64 where more than rounding may differ. Tasks are compared one by one, and
`--output` gets a line for each task and k: the same command continues where it was stopped. The last line is JSON:
`tasks_compared`, `max_logprob_diff` (bar 1e-4), `accuracy_mismatches` (bar 0), `lm_eval_seconds_over_ours`. The tasks
on which they differ most are listed before it.
"""

from __future__ import annotations

import argparse
import json
import resource
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from eval.agreement import Agreement, Scorers, TaskAgreement
from eval.config import Protocol
from metaicl.lm.config import BackboneConfig
from metaicl.training.run import manifest
from task_suites.core.errors import UserError
from task_suites.sources import SuiteConfig


def compared(args: argparse.Namespace, tasks: list, scorers: Scorers) -> tuple[list[TaskAgreement], dict[str, str]]:
    """Return (how both score each task at each k, task -> why it is not compared); what `--output` has is not scored
    again."""
    setting = {"model": args.model, "queries": args.queries, "ks": [0, *args.k], "lm_eval": scorers.version}
    lines = args.output.read_text(encoding="utf-8").splitlines() if args.output and args.output.is_file() else []
    stored = [line for line in map(json.loads, lines) if line["setting"] == setting]
    found, skipped = list[TaskAgreement](), dict[str, str]()
    for task in tasks:
        if known := [TaskAgreement(**line["found"]) for line in stored if line["found"]["task"] == task.name]:
            found += known
            continue
        try:
            new = scorers.compared(Protocol(args.k, 1, args.queries), task, tasks)
        except UserError as error:
            skipped[task.name] = str(error)
            continue
        found += new
        for one in new:
            say = f"{one.dtype}: {one.max_logprob_diff:.1e}, {one.seconds:.1f} s against {one.lm_eval_seconds:.1f} s"
            print(f"  {one.task} k={one.k}: {say}", flush=True)
        if args.output:
            with args.output.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps({"setting": setting, "found": asdict(one)}) + "\n" for one in new))
    return found, skipped


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="embedded", help="a suite, or a folder of tasks")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--k", type=int, nargs="+", default=[4], help="numbers of demonstrations besides 0")
    parser.add_argument("--queries", type=int, default=4, help="queries a task")
    parser.add_argument("--max_words", type=int, default=0, help="longer inputs are left out; 0 takes all")
    parser.add_argument("--max_tasks", type=int, default=0, help="the first tasks only; 0 takes all")
    parser.add_argument("--output", type=Path, help="a file of JSON lines, which is continued")
    args = parser.parse_args()
    suite, _ = SuiteConfig([args.suite], args.max_words, forms=["options"]).open()
    tasks = list(suite.tasks.values())[: args.max_tasks or None]
    scorers = Scorers(BackboneConfig(args.model))
    compared_tasks, skipped = compared(args, tasks, scorers)
    found = Agreement(tuple(compared_tasks), skipped, scorers.version)
    for task in sorted(found.tasks, key=lambda t: -t.max_logprob_diff)[:5]:
        print(f"  {task.task} k={task.k}: {task.max_logprob_diff:.1e}, {task.other_choices} other choices", flush=True)
    for name, reason in found.skipped.items():
        print(f"  not compared: {name}: {reason}")
    result = {
        "benchmark": "agreement",
        "tasks_compared": len({task.task for task in found.tasks}),
        "points_compared": len(found.tasks),
        "options_compared": sum(task.options for task in found.tasks),
        "max_logprob_diff": found.max_logprob_diff,
        "accuracy_mismatches": found.accuracy_mismatches,
        "points_in_float64": sum(task.dtype == "float64" for task in found.tasks),
        "max_logprob_diff_float32": max((t.max_logprob_diff for t in found.tasks if t.dtype == "float32"), default=0),
        "max_logprob_diff_float64": max((t.max_logprob_diff for t in found.tasks if t.dtype == "float64"), default=0),
        "other_choices": sum(task.other_choices for task in found.tasks),
        "lm_eval_seconds_over_ours": round(found.lm_eval_seconds / found.seconds, 2),
        "seconds": round(found.seconds, 1),
        "lm_eval_seconds": round(found.lm_eval_seconds, 1),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,  # of this process
        "not_compared": len(found.skipped),
        "sides": dict(Counter(side for side in suite.splits for task in tasks if task in suite.split(side))),
        "model": args.model,
        "k": [0, *args.k],
        "queries": args.queries,
        **{name: value for name, value in manifest().items() if name in ("machine", "versions")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
