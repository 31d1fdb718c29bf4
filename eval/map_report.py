"""The map of methods as a page and as Markdown, from its `map.json`: one table for each k, and score against cost.

A place of the table that no cell fills is shown empty; it says so where the method does not serve the application.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

from eval.figures import Panel, pareto, pareto_panel, standalone
from eval.report import colours, render, write_page
from eval.summary import Results, duration
from metaicl.methods import method_spec
from task_suites.core.json_files import read_json
from task_suites.errors import UserError

SCHEMA = 2  # of map.json
EMPTY, REFUSED = "·", "not served"
Table = dict[str, Any]


def write_map(folder: Path) -> Path:
    """Writes `map.html`, `map.md` and a picture for each application into a map's folder; returns the page's path.

    Raises:
        UserError: no map in the folder.
    """
    from markupsafe import Markup

    path = folder / "map.json"
    if not path.is_file():
        raise UserError("no map", where=path, fix="Run metaicl map first.")
    results = read_json(path)
    if results["schema"] != SCHEMA:
        raise UserError("a map of another version", where=path, fix="Run metaicl map again; what is filled is kept.")
    refused = {(c["method"], c["task"]) for c in results["cells"] if "refused" in c}
    results["cells"] = [c for c in results["cells"] if "refused" not in c]
    results["refused"] = refused - {(c["method"], c["task"]) for c in results["cells"]}  # at every k
    tables = [_scores(results, k) for k in sorted(results["protocol"]["k"], reverse=True)]
    if calibration := _calibration(results):
        tables.append(calibration)
    panels = _panels(results)
    page = render(
        "map.html.jinja",
        results=results,
        headline=_headline(results),
        tables=tables,
        lead=_lead(results),
        filled=len(results["cells"]),
        possible=_possible(results),
        panels=[Markup(panel) for panel in panels.values()],
        notes=_notes(results),
    )
    for task, panel in panels.items():
        write_page(folder / f"map-{task}.svg", standalone(panel, colours()))
    write_page(folder / "map.html", page)
    write_page(folder / "map.md", _markdown(results, tables))
    return folder / "map.html"


def _tasks(applications: Mapping[str, Sequence[str]]) -> list[str]:
    """The columns, by application."""
    return list(chain.from_iterable(applications.values()))


def _headline(results: Results) -> int:
    return int(max(results["protocol"]["k"]))


def _scores(results: Results, k: int) -> Table:
    """Scores with intervals, what a new task costs below them."""
    cells = {(c["method"], c["task"]): c for c in results["cells"] if c["k"] == k}
    seeds = sorted({c["seeds"] for c in cells.values()})
    many = f"{seeds[0]} support sets" if seeds and seeds[0] > 1 else "one support set"
    legend = (
        f"Points (each task's own metric) over {many} of {results['protocol']['queries']} queries, with the 95 % "
        "bootstrap interval over support sets and queries."
    )
    best = {
        t: max((c["score"] for (_, task), c in cells.items() if task == t), default=None)
        for t in _tasks(results["applications"])
    }

    def shown(cell: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "value": f"{cell['score']:.1f}",
            "beside": f"[{cell['low']:.1f}, {cell['high']:.1f}]",
            "below": _cost(cell),
            "best": cell["score"] == best[cell["task"]],
        }

    below = "Below it the seconds of adapting and the time of one query."
    return {
        "title": f"k = {k}",
        "legend": legend,
        "below": below,
        **_grid(results, results["applications"], cells, shown),
    }


def _calibration(results: Results) -> Table | None:
    """Calibration at the headline k, on the tasks whose answers have options."""
    k = _headline(results)
    cells = {(c["method"], c["task"]): c for c in results["cells"] if c["k"] == k and "ece" in c}
    scored = {task for _, task in cells}
    applications = {
        a: kept for a, tasks in results["applications"].items() if (kept := [t for t in tasks if t in scored])
    }
    least = {t: min(c["brier"] for (_, task), c in cells.items() if task == t) for t in scored}

    def shown(cell: Mapping[str, Any]) -> dict[str, Any]:
        best = cell["brier"] == least[cell["task"]]
        return {"value": f"{cell['brier']:.2f}", "beside": f"{cell['ece']:.2f}", "below": "", "best": best}

    if not cells:
        return None
    legend = (
        "Brier score (0 to 2, lower is better) of the options' probabilities and, beside it, their expected "
        "calibration error in 15 bins, which is above 0 by chance too: by some 0.1 for so few answers."
    )
    grid = _grid(results, applications, cells, shown)
    return {"title": f"Calibration at k = {k}", "legend": legend, "below": "", **grid}


def _grid(
    results: Results,
    applications: Mapping[str, Sequence[str]],
    cells: Mapping[tuple[str, str], Mapping[str, Any]],
    shown: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> Table:
    """The columns, and a row of shown cells for each method."""
    seconds = {c["method"]: c["train_seconds"] for c in results["cells"] if "train_seconds" in c}
    rows = []
    for name in results["methods"]:
        spec = method_spec(name)
        row: list[Any] = []
        for task in _tasks(applications):
            if cell := cells.get((name, task)):
                row.append(shown(cell))
            else:
                row.append(REFUSED if (name, task) in results["refused"] else EMPTY)
        rows.append({"label": spec.label, "note": spec.note, "cells": row, "train_seconds": seconds.get(name)})
    return {"applications": applications, "rows": rows}


def _cost(cell: Mapping[str, Any]) -> str:
    """Empty where the times of a place are not known."""
    if "adapt_seconds" not in cell:
        return ""
    return f"{duration(cell['adapt_seconds'])} + {1000 * cell['query_seconds']:.0f} ms"


def _lead(results: Results) -> str:
    k = _headline(results)
    winners = []
    for task in _tasks(results["applications"]):
        cells = [c for c in results["cells"] if c["k"] == k and c["task"] == task]
        if cells:
            best = max(cells, key=lambda c: c["score"])
            winners.append(f"{task}: {method_spec(best['method']).label} ({best['score']:.0f})")
    return f"Highest score at k = {k} so far. " + "; ".join(winners) + "."


def _possible(results: Results) -> int:
    """Places of all tables, those aside that a method is known not to serve."""
    places = len(results["methods"]) * len(_tasks(results["applications"])) - len(results["refused"])
    return places * len(results["protocol"]["k"])


def _panels(results: Results) -> dict[str, str]:
    """For each task with cells: score against the cost of adapting to it and answering its queries."""
    panels, k, queries = {}, _headline(results), results["protocol"]["queries"]
    for task in _tasks(results["applications"]):
        cells = [c for c in results["cells"] if c["k"] == k and c["task"] == task]
        points = [
            (max(1e-3, c["adapt_seconds"] + queries * c["query_seconds"]), c["score"], method_spec(c["method"]).label)
            for c in cells
            if "adapt_seconds" in c
        ]
        if points:
            panel = Panel(task, points, pareto([(cost, value) for cost, value, _ in points]))
            panels[task] = pareto_panel(panel, "seconds for a new task", f"{task}: score against cost")
    return panels


def _notes(results: Results) -> list[str]:
    notes = [
        "A few tasks stand for an application: differences between neighbours say little about other tasks.",
        "The intervals cover support sets and queries, not training runs: each method was meta-trained once.",
        f"Meta-training had the steps that {duration(results['budget_seconds'])} allow by the method's first episodes, "
        "with nothing kept from other methods; what it took is in the last column.",
        "Seconds are those of the run that filled the place; they depend on what else the machine did.",
    ]
    machines = sorted({c["machine"] for c in results["cells"] if "machine" in c})
    if len(machines) > 1:
        notes.append(f"Seconds are of several machines and cannot be compared: {'; '.join(machines)}.")
    return [*notes, *([str(results["filtered"])] if results["filtered"] else []), *results.get("notes", ())]


def _markdown(results: Results, tables: Sequence[Table]) -> str:
    parts = [f"# {results['name']}", _lead(results)]
    for table in tables:
        tasks = _tasks(table["applications"])
        lines = [("Method", *tasks, "Meta-training"), (":--", *["--:"] * (len(tasks) + 1))]
        for row in table["rows"]:
            texts = [c if isinstance(c, str) else f"{c['value']} {c['beside']}" for c in row["cells"]]
            lines.append((row["label"], *texts, duration(row["train_seconds"])))
        parts += [f"## {table['title']}", table["legend"], "\n".join("| " + " | ".join(line) + " |" for line in lines)]
    parts += ["\n".join(f"- {note}" for note in _notes(results)), f"Made by:\n\n    {results['command']}"]
    return "\n\n".join(parts) + "\n"
