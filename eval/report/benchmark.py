"""The benchmark of methods as a page and as Markdown: a table for each k, and score against cost.

A cell of a table is empty where the benchmark has no entry; it says so where the method does not serve the application.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from eval.benchmark_results import RESULTS, BenchmarkResults, Entry
from eval.config import CALIBRATED
from eval.method_on_model import MethodOnModel
from eval.report.drawing import standalone
from eval.report.figures import Panel, pareto, pareto_panel
from eval.report.page import colours, render
from eval.report.summary import duration
from eval.statistics import Gain, Interval
from task_suites.core.atomic import write_text

EMPTY, REFUSED = "·", "not served"


@dataclass(frozen=True)
class Shown:
    """A cell of a table: its value, what stands beside and below it, and whether it is the best of its column."""

    value: str
    beside: str
    below: str
    best: bool


@dataclass(frozen=True)
class TableRow:
    """A method in a table; `cells` has a text where it has no value."""

    label: str
    note: str
    cells: Sequence[Shown | str]
    train_seconds: float | None


@dataclass(frozen=True)
class Table:
    """A table of the benchmark: methods by tasks, the tasks by application."""

    title: str
    legend: str
    below: str
    applications: Mapping[str, Sequence[str]]
    rows: Sequence[TableRow]


def write_benchmark(folder: Path) -> Path:
    """Write the page, its Markdown and a picture for each task into a benchmark's folder; return the page's path.

    Raises:
        UserError: the folder holds no benchmark.
    """
    from markupsafe import Markup

    results = BenchmarkResults.load(folder / RESULTS)
    tables = [_means(results)] if len(results.tasks) > 1 and results.tasks_of_all else []
    tables += [_scores(results, k) for k in sorted(results.protocol["k"], reverse=True)]
    if calibration := _calibration(results):
        tables.append(calibration)
    panels = _panels(results)
    page = render(
        "benchmark.html.jinja",
        results=results,
        headline=results.headline_k,
        tables=tables,
        lead=_lead(results),
        filled=len(results.scored),
        possible=_possible(results),
        panels=[Markup(panel) for panel in panels.values()],
        notes=_notes(results),
    )
    for task, panel in panels.items():
        write_text(folder / f"benchmark-{task}.svg", standalone(panel, colours()))
    write_text(folder / "benchmark.html", page)
    write_text(folder / "benchmark.md", _markdown(results, tables))
    return folder / "benchmark.html"


def _means(results: BenchmarkResults) -> Table:
    """Means over tasks at the headline k."""
    every, common = results.tasks, results.tasks_of_all
    columns = {"all tasks": every} | ({"tasks of all methods": common} if common != every else {})
    found: dict[str, Mapping[str, Interval]] = {name: results.means(tasks) for name, tasks in columns.items()}
    if gains := results.gains(common, CALIBRATED):
        found[f"gain over {MethodOnModel.of(CALIBRATED).label}"] = gains
    best = {name: max((one.mean for one in means.values()), default=0.0) for name, means in found.items()}

    def shown(one: Interval, column: str) -> Shown:
        value, interval = str(one).split(" ", 1)
        value = f"+{value}" if isinstance(one, Gain) and one.mean > 0 else value
        return Shown(value, interval, "", one.mean == best[column])

    rows = []
    seconds = _train_seconds(results)
    for name in results.methods:
        cells = [shown(means[name], column) if name in means else EMPTY for column, means in found.items()]
        rows.append(_row(name, cells, seconds))
    legend = "Mean points with the 95 % interval over tasks, support sets and trainings."
    if common != every:
        legend += f" The tasks that every method serves are {', '.join(common)}."
    return Table(f"Means at k = {results.headline_k}", legend, "", {"mean over": list(found)}, rows)


def _tasks(applications: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the columns, by application."""
    return list(chain.from_iterable(applications.values()))


def _scores(results: BenchmarkResults, k: int) -> Table:
    """Scores with intervals, what a new task costs below them."""
    cells = {(c.method, c.task): c for c in results.scored if c.k == k}
    seeds = sorted({c.seeds for c in cells.values()})
    many = f"{seeds[0]} support sets" if seeds and seeds[0] > 1 else "one support set"
    legend = (
        f"Points (each task's own metric) over {many} of {results.protocol['queries']} queries, with the 95 % "
        "interval over support sets, or over the queries of a single one."
    )
    best = {t: max((c.score for (_, task), c in cells.items() if task == t), default=None) for t in results.tasks}

    def shown(cell: Entry) -> Shown:
        interval = f"[{cell.low:.1f}, {cell.high:.1f}]"
        return Shown(f"{cell.score:.1f}", interval, _cost(cell), cell.score == best[cell.task])

    below = "Below it the seconds of adapting and the time of one query."
    rows = _rows(results, results.applications, cells, shown)
    return Table(f"k = {k}", legend, below, results.applications, rows)


def _calibration(results: BenchmarkResults) -> Table | None:
    """Calibration at the headline k, on the tasks whose answers have options."""
    k = results.headline_k
    cells = {(c.method, c.task): c for c in results.scored if c.k == k and c.brier is not None}
    scored = {task for _, task in cells}
    applications = {a: kept for a, tasks in results.applications.items() if (kept := [t for t in tasks if t in scored])}
    least = {t: min(c.brier or 0.0 for (_, task), c in cells.items() if task == t) for t in scored}

    def shown(cell: Entry) -> Shown:
        return Shown(f"{cell.brier:.2f}", f"{cell.ece:.2f}", "", cell.brier == least[cell.task])

    if not cells:
        return None
    legend = (
        "Brier score (0 to 2, lower is better) of the options' probabilities and, beside it, their expected "
        "calibration error in 15 bins, which is above 0 by chance too: by some 0.1 for so few answers."
    )
    rows = _rows(results, applications, cells, shown)
    return Table(f"Calibration at k = {k}", legend, "", applications, rows)


def _rows(
    results: BenchmarkResults,
    applications: Mapping[str, Sequence[str]],
    cells: Mapping[tuple[str, str], Entry],
    shown: Callable[[Entry], Shown],
) -> list[TableRow]:
    """Return a row of shown cells for each method."""
    seconds = _train_seconds(results)
    rows = []
    for name in results.methods:
        row: list[Shown | str] = []
        for task in _tasks(applications):
            if cell := cells.get((name, task)):
                row.append(shown(cell))
            else:
                row.append(REFUSED if (name, task) in results.not_served else EMPTY)
        rows.append(_row(name, row, seconds))
    return rows


def _row(name: str, cells: Sequence[Shown | str], seconds: Mapping[str, float]) -> TableRow:
    one = MethodOnModel.of(name)
    return TableRow(one.label, one.cls.note, cells, seconds.get(name))


def _train_seconds(results: BenchmarkResults) -> dict[str, float]:
    """Return the seconds that one training of each method took."""
    return {c.method: c.train_seconds for c in results.scored if c.train_seconds is not None}


def _cost(cell: Entry) -> str:
    """Return what a new task costs; nothing where the times are not known."""
    if cell.adapt_seconds is None or cell.query_seconds is None:
        return ""
    return f"{duration(cell.adapt_seconds)} + {1000 * cell.query_seconds:.0f} ms"


def _lead(results: BenchmarkResults) -> str:
    k = results.headline_k
    winners = []
    for task in results.tasks:
        cells = [c for c in results.scored if c.k == k and c.task == task]
        if cells:
            best = max(cells, key=lambda c: c.score)
            winners.append(f"{task}: {MethodOnModel.of(best.method).label} ({best.score:.0f})")
    return f"Highest score at k = {k} so far. " + "; ".join(winners) + "."


def _possible(results: BenchmarkResults) -> int:
    """Return the number of entries of all tables, without those that a method is known not to serve."""
    pairs = len(results.methods) * len(results.tasks) - len(results.not_served)
    return pairs * len(results.protocol["k"])


def _panels(results: BenchmarkResults) -> dict[str, str]:
    """For each task with cells: score against the cost of adapting to it and answering its queries."""
    panels, k, queries = {}, results.headline_k, results.protocol["queries"]
    for task in results.tasks:
        cells = [c for c in results.scored if c.k == k and c.task == task]
        points = [
            (max(1e-3, c.adapt_seconds + queries * c.query_seconds), c.score, MethodOnModel.of(c.method).label)
            for c in cells
            if c.adapt_seconds is not None and c.query_seconds is not None
        ]
        if points:
            panel = Panel(task, points, pareto([(cost, value) for cost, value, _ in points]))
            panels[task] = pareto_panel(panel, "seconds for a new task", f"{task}: score against cost")
    return panels


def _notes(results: BenchmarkResults) -> list[str]:
    notes = [
        "A few tasks stand for an application: differences between neighbours say little about other tasks.",
        _of_trainings(results.trainings),
        f"Meta-training had the steps that {duration(results.budget_seconds)} allow by the method's first episodes, "
        "with nothing kept from other methods; what it took is in the last column.",
        "Seconds are those of the run that computed the entry; they depend on what else the machine did.",
    ]
    machines = sorted({c.machine for c in results.scored if c.machine})
    if len(machines) > 1:
        notes.append(f"Seconds are of several machines and cannot be compared: {'; '.join(machines)}.")
    return [*notes, *([str(results.filtered)] if results.filtered else []), *results.notes]


def _of_trainings(trainings: int) -> str:
    if trainings == 1:
        return "The intervals cover support sets and queries, not training runs: each method was meta-trained once."
    return f"Each method was meta-trained {trainings} times with other seeds, which the intervals cover too."


def _markdown(results: BenchmarkResults, tables: Sequence[Table]) -> str:
    parts = [f"# {results.name}", _lead(results)]
    for table in tables:
        tasks = _tasks(table.applications)
        lines = [("Method", *tasks, "Meta-training"), (":--", *["--:"] * (len(tasks) + 1))]
        for row in table.rows:
            texts = [c if isinstance(c, str) else f"{c.value} {c.beside}" for c in row.cells]
            lines.append((row.label, *texts, duration(row.train_seconds)))
        parts += [f"## {table.title}", table.legend, "\n".join("| " + " | ".join(line) + " |" for line in lines)]
    parts += ["\n".join(f"- {note}" for note in _notes(results)), f"Made by:\n\n    {results.command}"]
    return "\n\n".join(parts) + "\n"
