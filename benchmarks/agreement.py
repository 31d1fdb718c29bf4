"""Do our scores agree with those of lm-evaluation-harness, and how much longer does it take?

Every task of a suite that has options, without demonstrations and with some: both score the same queries on the same
weights in float64. The last line is JSON: `tasks_compared`, `max_logprob_diff` (bar 1e-4), `accuracy_mismatches`
(bar 0), `lm_eval_seconds_over_ours`. The tasks on which they differ most are listed before it.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter

from eval.agreement import agreement
from eval.config import Protocol
from metaicl.lm.config import BackboneConfig
from metaicl.training.run import manifest
from task_suites.sources import SuiteConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--suite", default="embedded", help="a suite, or a folder of tasks")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--k", type=int, nargs="+", default=[4], help="numbers of demonstrations besides 0")
    parser.add_argument("--queries", type=int, default=8, help="queries a task")
    parser.add_argument("--max_words", type=int, default=40, help="longer inputs are left out")
    parser.add_argument("--max_tasks", type=int, default=0, help="the first tasks only; 0 takes all")
    args = parser.parse_args()
    suite, _ = SuiteConfig([args.suite], args.max_words, forms=["options"]).open()
    tasks = list(suite.tasks.values())[: args.max_tasks or None]
    found = agreement(tasks, Protocol(args.k, 1, args.queries), BackboneConfig(args.model))
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
        "other_choices": sum(task.other_choices for task in found.tasks),
        "lm_eval_seconds_over_ours": round(found.lm_eval_seconds / found.seconds, 2),
        "seconds": found.seconds,
        "lm_eval_seconds": found.lm_eval_seconds,
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
