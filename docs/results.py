"""Write the tables of the documentation from what was measured, so that they cannot differ from it.

    python docs/results.py

reads `results/` and writes each block between `<!-- made by docs/results.py: NAME -->` and `<!-- end -->` again, in
every page of docs/ that has one.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from eval.benchmark_results import BenchmarkResults
from eval.config import CALIBRATED
from eval.method_on_model import MethodOnModel
from eval.statistics import Gain, Interval
from metaicl.methods.base import EVERY_FORM

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "results"
BLOCK = re.compile(r"(<!-- made by docs/results\.py: (\w+) -->\n)(.*?)(<!-- end -->)", re.DOTALL)
FAMILIES = {  # the columns of the table of families, and the methods of each
    "plain model": ("icl",),
    "calibrated": ("icl_contextual", "icl_pmi"),
    "in context, meta-trained": ("metaicl", "metaicl_channel", "ict", "multitask"),
    "gradients, meta-trained": (
        *("fomaml", "maml", "reptile", "meta_sgd", "tnet", "mtnet", "lstm_meta", "fomaml_icl", "maml_icl"),
        *("platipus", "bmaml", "abmll"),
    ),
    "embeddings": (
        *("protonet", "protonet_cosine", "matching", "matching_fce", "relation", "r2d2", "lrd2", "snail"),
        *("knn", "setfit_lm"),
    ),
    "fine-tuning": ("finetune",),
    "transfer": ("transfer",),
}
HEADLINE_K = 16


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def interval(value: Sequence[float] | None, sign: str = "") -> str:
    """A mean with its interval: `53.3 [42.0, 64.7]`; an empty text where the value is missing."""
    return "" if value is None else f"{value[0]:{sign}.1f} [{value[1]:.1f}, {value[2]:.1f}]"


def comparisons(name: str) -> str:
    """The recorded comparisons of one table: what was run, what came out, and the commands."""
    runs = [run for run in yaml.safe_load((RESULTS / "comparisons.yaml").read_text("utf-8")) if run["table"] == name]
    rows = [
        [
            str(run["date"]),
            run.get("size", ""),
            *(str(run[key]) for key in ("steps", "tasks", "seeds")),
            f"{run['seconds']:,}" if "seconds" in run else "",
            *(interval(run.get(key)) for key in ("metaicl", "raw", "calibrated")),
            *(interval(run.get(key), "+") for key in ("gain", "gain_over_calibrated")),
            str(run.get("p", "")),
            run.get("win_tie_loss", ""),
            run["machine"],
        ]
        for run in runs
    ]
    head = ["date", "size", "steps", "tasks", "support sets", "seconds", "MetaICL", "raw ICL", "raw ICL, calibrated"]
    head += ["gain over raw ICL", "gain over calibrated", "p", "win/tie/loss over tasks", "machine"]
    used = [i for i in range(len(head)) if any(row[i] for row in rows)]
    commands = "\n".join(dict.fromkeys(run["command"] for run in runs))
    text = f"```sh\n{commands}\n```\n\n" + table([head[i] for i in used], [[row[i] for i in used] for row in rows])
    for run in runs:
        if "by_task" in run:
            by_task = [[task, *map(str, scores)] for task, scores in run["by_task"].items()]
            text += "\n\n" + table(["task", "raw ICL", "MetaICL"], by_task)
    return text


def benchmark() -> tuple[list[str], list[str], dict[tuple[str, str], float | None]]:
    """(methods, tasks, the score of each pair at the headline k; None where the method refused) of the benchmark."""
    found = json.loads((RESULTS / "benchmark" / "benchmark.json").read_text("utf-8"))
    lines = map(json.loads, (RESULTS / "benchmark" / "benchmark.jsonl").read_text("utf-8").splitlines())
    wanted = set(found["entries"])
    scores = {
        (line["method"], line["task"]): line.get("score")
        for line in lines
        if line["key"] in wanted and line["k"] == HEADLINE_K
    }
    return found["methods"], [task for tasks in found["applications"].values() for task in tasks], scores


def families() -> str:
    """The best score of each family of methods on each task."""
    _, tasks, scores = benchmark()
    rows = []
    for task in tasks:
        best = [[s for m in methods if (s := scores.get((m, task))) is not None] for methods in FAMILIES.values()]
        rows.append([task, *(f"{max(found):.0f}" if found else "" for found in best)])
    return table(["task", *FAMILIES], rows)


def methods() -> str:
    """Every method's score on every task."""
    names, tasks, scores = benchmark()
    cells = [[scores.get((name, task), -1.0) for task in tasks] for name in names]
    rows = [
        [f"`{name}`", *("" if s is None else "·" if s < 0 else f"{s:.0f}" for s in row)]
        for name, row in zip(names, cells, strict=True)
    ]
    return table(["method", *tasks], rows)


def overfitting() -> str:
    """How much training on few tasks gains on these and on unseen ones."""
    rows = []
    for name in ("protonet", "metaicl"):
        for curve in json.loads((RESULTS / "pitfalls" / f"{name}.json").read_text("utf-8"))["overfitting"]:
            first, last = curve["points"][0], curve["points"][-1]
            gains = (f"{last[side] - first[side]:+.1f}" for side in ("seen", "unseen"))
            rows.append([f"`{name}`", str(curve["tasks"]), *gains])
    return table(["method", "training tasks", "gain on seen tasks", "gain on unseen tasks"], rows)


def studies() -> str:
    """What each search of hyperparameters tried and chose."""
    rows = []
    for folder in sorted((RESULTS / "tune").iterdir()):
        trials = [json.loads(line) for line in (folder / "trials.jsonl").read_text("utf-8").splitlines()]
        chosen: Mapping[str, Any] = yaml.safe_load((folder / "hyperparameters.yaml").read_text("utf-8"))
        options = {**chosen.get("method_options", {}), **{k: chosen[k] for k in ("learning_rate",) if k in chosen}}
        rows.append(
            [
                f"`{folder.name}`",
                ", ".join(f"{100 * t['value']:.1f}" if t.get("value") is not None else "diverged" for t in trials),
                ", ".join(f"`{key}` {value:.3g}" for key, value in options.items()),
            ]
        )
    return table(["method", "mean score of each trial (the first has the defaults)", "chosen"], rows)


def main_table() -> str:
    """Every method's mean over the held-out tasks with options, and its score on each of them."""
    found = BenchmarkResults.load(RESULTS / "comparison" / "benchmark.json")
    columns: dict[str, Mapping[str, Interval]] = {
        "all tasks": found.means(found.tasks),
        "tasks of all methods": found.means(found.tasks_of_all),
        "gain over `icl_calibrated`": found.gains(found.tasks_of_all, CALIBRATED),
    }
    points = {(one.method, one.task): one for one in found.scored}
    names = sorted({one.method for one in found.scored}, key=lambda name: -_sorted_by(name, columns))
    rows = [
        [
            f"`{name}`",
            str(max(len(one.points or ()) for one in found.scored if one.method == name)),
            *(_signed(means[name]) if name in means else "" for means in columns.values()),
            *(f"{points[name, task].score:.0f}" if (name, task) in points else "" for task in found.tasks),
        ]
        for name in names
    ]
    return table(["method", "runs", *columns, *found.tasks], rows)


def _signed(one: Interval) -> str:
    return interval((one.mean, one.low, one.high), "+" if isinstance(one, Gain) else "")


def _sorted_by(name: str, columns: Mapping[str, Mapping[str, Interval]]) -> float:
    means = columns["tasks of all methods"]
    return means[name].mean if name in means else -1.0


def survey() -> str:
    """What each method costs, needs and serves: the survey's table of methods, measured."""
    memory = json.loads((RESULTS / "costs" / "costs.json").read_text("utf-8"))["methods"]
    found = BenchmarkResults.load(RESULTS / "comparison" / "benchmark.json")
    common, means = found.tasks_of_all, found.means(found.tasks_of_all)
    rows = []
    for name in [name for name in found.methods if name in means]:
        one, own = MethodOnModel.of(name), [e for e in found.scored if e.method == name and e.task in common]
        cost = memory.get(name, {})
        numbers = [
            _mean([found.budget_seconds / e.steps for e in own if e.steps]),
            cost.get("train_mib"),
            _mean([e.adapt_seconds for e in own if e.adapt_seconds is not None]),
            cost.get("adapt_mib"),
            _mean([e.query_seconds for e in own if e.query_seconds is not None]),
        ]
        order = {1.0: "first", 2.0: "second"}.get(cost.get("order"), "first" if one.cls.meta_trained else "none")
        forms = "all" if one.cls.serves == EVERY_FORM else ", ".join(sorted(one.cls.serves))
        rows.append([one.label, order, *map(_rounded, numbers), forms, f"{means[name].mean:.0f}"])
    head = ["method", "order of gradients", "meta-training: s an episode", "MiB", "adapting: s", "MiB", "a query: s"]
    text = table([*head, "serves", "mean score"], rows)
    return f"{text}\n\nSeconds and mean scores are of {', '.join(common)}."


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _rounded(value: float | None) -> str:
    """A number with two figures that count, an empty text where there is none."""
    return "" if value is None else f"{value:.2g}" if value < 10 else f"{value:.0f}"


def probes() -> str:
    """What each change of the demonstrations does to each learner in context."""
    found = json.loads((RESULTS / "probes" / "probes.json").read_text("utf-8"))
    methods = list(found["methods"])
    head = ["demonstrations", *(found["methods"][name] for name in methods)]
    rows = [[row["name"], *(interval(row["scores"].get(name)) for name in methods)] for row in found["probes"]]
    return "\n\n".join(filter(None, (table(head, rows), found.get("audit"))))


def surface() -> str:
    """What a meta-training gains over calibrated in-context learning, by its tasks and its steps."""
    found = json.loads((RESULTS / "tasks_and_steps.json").read_text("utf-8"))
    gains = {(row["tasks"], row["steps"]): [row[key] for key in ("gain", "low", "high")] for row in found["rows"]}
    steps = sorted({length for _, length in gains})
    numbers = sorted({tasks for tasks, _ in gains}, key=lambda tasks: tasks or math.inf)  # 0 is all
    rows = [[str(tasks or "all"), *(interval(gains.get((tasks, n)), "+") for n in steps)] for tasks in numbers]
    return table(["meta-training tasks", *(f"{n} steps" for n in steps)], rows)


MADE: Mapping[str, Callable[[], str]] = {
    "embedded": lambda: comparisons("embedded"),
    "realtasks": lambda: comparisons("realtasks"),
    "configs": lambda: comparisons("configs"),
    "families": families,
    "main": main_table,
    "methods": methods,
    "overfitting": overfitting,
    "studies": studies,
    "survey": survey,
    "probes": probes,
    "surface": surface,
}


def rewritten(text: str) -> str:
    """A page with each of its blocks made again."""
    return BLOCK.sub(lambda found: f"{found[1]}\n{MADE[found[2]]()}\n\n{found[4]}", text)


if __name__ == "__main__":
    for path in sorted(DOCS.glob("*.md")):
        before = path.read_text(encoding="utf-8")
        if (after := rewritten(before)) != before:
            path.write_text(after, encoding="utf-8")
            print(f"{path.name} written")
