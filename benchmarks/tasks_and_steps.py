"""How far the released adapter's recipe gets with fewer or more tasks and steps, on tasks that it never trains on.

    python benchmarks/tasks_and_steps.py                                    hours: each training and cell is kept
    python benchmarks/tasks_and_steps.py --steps 80 --seeds 0               a part of it
    python benchmarks/tasks_and_steps.py --quick                            generated tasks; the numbers mean little

Each training is `configs/release.yaml` with another number of meta-training tasks, of steps, and another seed. A seed
puts the recipe's tasks in an order, of which the first few are taken, so that a smaller choice is part of a larger one.
The trained methods, raw in-context learning and raw in-context learning with the same calibration answer the same
queries of the same meta-validation tasks, 16 demonstrations each. What is finished is kept in --output and not done
again, and what is known is written to --results after each training. The last line is JSON; its rows are in points:

    tasks, steps, trainings             what was trained, and on how many seeds
    gain, low, high                     over calibrated in-context learning (Student's 95 %, tasks and trainings)
    gain_over_raw                       over raw in-context learning
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import yaml

import metaicl
from eval.cells import Cell
from eval.config import CALIBRATED, Protocol
from eval.contenders import DONE, Backbones, Contender, contender, trained_contender
from eval.evaluate import run_all
from eval.harness import Comparison
from eval.statistics import gain_interval, generator
from metaicl.lm.config import BackboneConfig
from metaicl.lm.devices import with_precision
from metaicl.training.run import manifest
from task_suites.core.atomic import write_text
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import SuiteConfig
from task_suites.task import Task, TaskSuite

ROOT = Path(__file__).resolve().parents[1]
RECIPE = ROOT / "configs/release.yaml"
RESULTS = ROOT / "results/tasks_and_steps.json"
FURTHER = (  # tasks of widetasks that the recipe leaves out: meta-validation beside that of realtasks
    *("bbc_news_section", "sick_entailment", "imppres_implicature", "folio_logic", "com2sense"),
    *("amazon_cell_reviews", "airline_tweet_sentiment", "isear_emotion", "kbp37_relations", "msr_paraphrase"),
    *("stackoverflow_tag", "commonsenseqa", "arc_easy", "climate_claim_evidence", "medical_question_entailment"),
    *("atis_intent", "dailydialog_emotion", "event_plausibility", "noun_compound_relation", "trofi_metaphor"),
)
K = 16


@dataclass(frozen=True)
class Training:
    """One training of the recipe.

    Attributes:
        tasks: how many of the recipe's meta-training tasks; 0 all of them.
        steps: its length.
        seed: of the choice of tasks and of the training.
    """

    tasks: int
    steps: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.tasks or 'all'}-tasks-{self.steps}-steps-seed-{self.seed}"

    def chosen(self, names: Sequence[str]) -> list[str]:
        """Return the tasks to train on."""
        order = generator(f"tasks_and_steps {self.seed}").permutation(len(names))
        return sorted(names[i] for i in order[: self.tasks or None])


def trained(one: Training, recipe: dict[str, Any], names: Sequence[str], folder: Path) -> Contender:
    """Return the trained method; its training is done, or continued, where it is not finished."""
    run = folder / one.name
    if not (run / DONE).is_file():
        changed = {"tasks": one.chosen(names), "max_steps": one.steps, "seed": one.seed, "run_name": one.name}
        metaicl.train(output_dir=run, progress=False, **{**recipe, **changed})
        write_text(run / DONE, "")
    return trained_contender(run / "best")


def pooled(cells: dict[Training, list[Cell]]) -> list[Cell]:
    """Return the cells of several trainings as those of one method."""
    return [replace(cell, method="trained", run=one.name) for one, found in cells.items() for cell in found]


def row(cells: dict[Training, list[Cell]], raw: list[Cell], calibrated: list[Cell]) -> dict[str, Any]:
    """Return one row of the results, from the trainings of one number of tasks and steps."""
    one, together = next(iter(cells)), pooled(cells)
    gain, over_raw = gain_interval(together, calibrated, True), gain_interval(together, raw, True)
    return {
        "tasks": one.tasks,
        "steps": one.steps,
        "trainings": len(cells),
        "gain": round(gain.mean, 1),
        "low": round(gain.low, 1),
        "high": round(gain.high, 1),
        "gain_over_raw": round(over_raw.mean, 1),
        "by_training": [round(gain_interval(found, calibrated, True).mean, 1) for found in cells.values()],
    }


def recipe_on(data: Path, quick: bool) -> dict[str, Any]:
    """Return the recipe's options, with its suites where they lie."""
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    if quick:
        return {**recipe, "suite": ["embedded"], "k": 4, "queries": 2}
    return {**recipe, "suite": [*(str(data / name) for name in ("realtasks", "widetasks")), "embedded"]}


def validation_tasks(data: Path, quick: bool) -> list[Task]:
    """Return the meta-validation tasks that every training is scored on."""
    if quick:
        return opened(["embedded"]).split("meta_validation")[:2]
    further = [task for task in opened([data / "widetasks"]).split("meta_train") if task.name in FURTHER]
    return [*opened([data / "realtasks"]).split("meta_validation"), *further]


def opened(suites: Sequence[str | Path]) -> TaskSuite:
    """Return suites with their options tasks and inputs of at most 40 words, as the recipe has them."""
    return SuiteConfig([str(suite) for suite in suites], 40, forms=["options"]).open()[0]


def plain() -> list[Contender]:
    """Return raw in-context learning, and the same calibrated as the recipe's method is."""
    base, form, backbones = (
        with_precision(BackboneConfig("smollm2-135m", dtype="bfloat16")),
        PromptFormat(),
        Backbones(),
    )
    return [contender(name, base, form, backbones) for name in ("icl", CALIBRATED)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="holds realtasks and widetasks")
    parser.add_argument("--tasks", type=int, nargs="+", default=[7, 28, 60, 0], help="numbers of tasks; 0 is all")
    parser.add_argument("--steps", type=int, nargs="+", default=[80, 240, 960])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("runs/tasks-and-steps"), help="keeps trainings and cells")
    parser.add_argument(
        "--results", type=Path, help=f"unset: {RESULTS.relative_to(ROOT)}; with --quick beside the cells"
    )
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    started, recipe = time.monotonic(), recipe_on(given.data, given.quick)
    tasks, protocol = (
        validation_tasks(given.data, given.quick),
        Protocol([4 if given.quick else K], 2, 16, stratified=True),
    )
    comparison, (raw, calibrated) = Comparison(tasks, protocol, given.output), plain()
    run_all(comparison, [raw, calibrated], progress=False)
    trainable = opened(recipe["suite"])
    names = [task.name for task in trainable.split("meta_train") if task.name in recipe["tasks"]]
    rows: dict[tuple[int, int], dict[str, Any]] = {}
    cells: dict[tuple[int, int], dict[Training, list[Cell]]] = {}
    for seed, steps, count in product(given.seeds, given.steps, given.tasks):
        one = Training(count, steps, seed)
        method = trained(one, recipe, names, given.output)
        run_all(comparison, [method], progress=False)
        cells.setdefault((count, steps), {})[one] = comparison.scored(method)
        rows[count, steps] = row(cells[count, steps], comparison.scored(raw), comparison.scored(calibrated))
        print(f"  {one.name}: {rows[count, steps]}", flush=True)
        result = {
            "benchmark": "tasks_and_steps",
            "rows": list(rows.values()),
            "validation_tasks": len(tasks),
            "seconds": round(time.monotonic() - started, 1),
            **{name: value for name, value in manifest().items() if name in ("machine", "versions")},
        }
        write_text(
            given.results or (given.output / "results.json" if given.quick else RESULTS),
            json.dumps(result, indent=1) + "\n",
        )
    print(json.dumps(result))


if __name__ == "__main__":
    main()
