"""What the released adapter is worth on real tasks that had no part in any choice.

    python benchmarks/release.py                                  the measurement: once, on the adapter that ships
    python benchmarks/release.py --split meta_validation --adapter runs/release     while one is chosen
    python benchmarks/release.py --quick                          two generated tasks; the numbers mean little

The adapter is compared on tasks with options, k = 16, with the plain base model's in-context learning, with the same
calibrated as the adapter is (`calibration: cross_fit`, half the prior), and with a sentence encoder by logistic
regression, class means, and class means with label names, of which the best counts. All answer the same stratified
queries. Finished cells are kept in --output. The last line is JSON, in points of the tasks' own metric:

    gain_over_calibrated, gain_ci_low, gain_ci_high     over raw ICL with the same calibration (Student's 95 %)
    gain_over_raw, gain_over_encoder                    over raw ICL, and over the best of the encoder's methods
    worst_task                                          the least gain over raw ICL on one task
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from eval.cells import Cell
from eval.config import CALIBRATED, Protocol
from eval.contenders import Backbones, Contender, contender
from eval.evaluate import run_all
from eval.harness import Comparison
from eval.statistics import gain_interval, mean_interval
from metaicl.lm.config import ENCODER, BackboneConfig
from metaicl.lm.devices import with_precision
from metaicl.lm.released import METAICL, RELEASED
from metaicl.training.run import check_held_out, manifest
from task_suites.formats.prompt_format import PromptFormat
from task_suites.provenance import data_record
from task_suites.sources import SuiteConfig

ON_ENCODER = ("logistic", "prototypes", "prototypes_names")
K = 16


def contenders(adapter: str, finetune_cells: int) -> list[Contender]:
    """Return what is compared, the adapter first."""
    form, backbones = PromptFormat(), Backbones()
    base = with_precision(BackboneConfig(RELEASED[METAICL].base))
    made = [
        contender(adapter, base, form, backbones),
        contender("icl", base, form, backbones),
        contender(CALIBRATED, base, form, backbones),
        *(contender(name, base, form, backbones, encoder=ENCODER) for name in ON_ENCODER),
    ]
    if finetune_cells:
        made.append(contender("finetune", base, form, backbones, cells=finetune_cells))
    return made


def task_gains(own: list[Cell], other: list[Cell]) -> dict[str, float]:
    """Return the mean gain on each task, in points."""
    tasks = sorted({cell.task for cell in own} & {cell.task for cell in other})
    return {task: round(gain_interval(*(_of(cells, task) for cells in (own, other)), True).mean, 1) for task in tasks}


def _of(cells: list[Cell], task: str) -> list[Cell]:
    return [cell for cell in cells if cell.task == task]


def measured(cells: dict[str, list[Cell]]) -> dict[str, Any]:
    """Return the numbers of the last line; `cells` has the adapter's first."""
    own = next(iter(cells.values()))
    means = {name: mean_interval(found).mean for name, found in cells.items()}
    best = max(ON_ENCODER, key=means.__getitem__)
    calibrated, raw, encoder = (gain_interval(own, cells[name], True) for name in (CALIBRATED, "icl", best))
    by_task = task_gains(own, cells["icl"])
    found = {
        "gain_over_calibrated": round(calibrated.mean, 2),
        "gain_ci_low": round(calibrated.low, 2),
        "gain_ci_high": round(calibrated.high, 2),
        "gain_over_raw": round(raw.mean, 2),
        "gain_over_raw_ci": [round(raw.low, 2), round(raw.high, 2)],
        "gain_over_encoder": round(encoder.mean, 2),
        "gain_over_encoder_ci": [round(encoder.low, 2), round(encoder.high, 2)],
        "best_on_encoder": best,
        "worst_task": min(by_task.values()),
        "by_task_over_raw": by_task,
        "by_task_over_calibrated": task_gains(own, cells[CALIBRATED]),
        "means": {name: round(value, 2) for name, value in means.items()},
    }
    if "finetune" in cells:
        found["gain_over_finetune"] = round(gain_interval(own, cells["finetune"], True).mean, 2)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", default=METAICL, help="a released name, or a run's folder")
    parser.add_argument("--suite", default="../shared/data/realtasks")
    parser.add_argument("--split", default="meta_test", choices=["meta_validation", "meta_test"])
    parser.add_argument("--seeds", type=int, default=5, help="support sets a task")
    parser.add_argument("--queries", type=int, default=32, help="queries a support set")
    parser.add_argument("--finetune_cells", type=int, default=0, help="(task, seed) pairs for fine-tuning")
    parser.add_argument("--output", type=Path, default=Path("runs/release-benchmark"), help="keeps finished cells")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    started, k = time.monotonic(), 4 if args.quick else K
    names, seeds, queries = ("embedded", 1, 4) if args.quick else (args.suite, args.seeds, args.queries)
    suite, _ = SuiteConfig([names], 40, forms=["options"]).open()
    tasks = suite.split(args.split)[: 2 if args.quick else None]
    made = contenders(args.adapter, args.finetune_cells)
    assert made[0].folder is not None
    check_held_out(made[0].folder, data_record(tasks))
    comparison = Comparison(tasks, Protocol([k], seeds, queries, stratified=True), args.output)
    run_all(comparison, made, progress=False)
    cells = {one.name: comparison.scored(one) for one in made}
    for name, found in cells.items():
        print(f"  {name}: {mean_interval(found)} on {len(found)} cells", flush=True)
    result = {
        "benchmark": "release",
        **measured(cells),
        "adapter": args.adapter,
        "split": args.split,
        "tasks": len(tasks),
        "k": k,
        "seeds": seeds,
        "queries": queries,
        "seconds": round(time.monotonic() - started, 1),
        **{name: value for name, value in manifest().items() if name in ("machine", "versions")},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
