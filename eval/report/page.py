"""A finished run as something to look at: `report.html`.

Everything comes out of the run's folder: `results.json` (needed), `predictions/<method>.jsonl`, `trainings.json`,
`audit.json`, `prompt.json` and `mistakes.json` (each left out of the page where it is missing). The page is one file
that loads nothing: no script, no font, no image from elsewhere. Its one script sorts and filters tables; without it
they can be read as they are. Texts of tasks are strangers' texts; the template engine escapes every one of them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from eval.refusals import grouped
from eval.report import charts
from eval.report.background import audit, trainings
from eval.report.confusion import confusions
from eval.report.differences import HEAD, found_differences
from eval.report.mistakes import calibrations, mistakes
from eval.report.prompts import read_example
from eval.report.sensitivity import sensitivities
from eval.report.summary import Row, caveats, count, duration, headline_parts, legend, p_text, rows, signed
from eval.report.texts import markdown
from eval.results import Results, TaskResult
from eval.statistics import Interval, task_means
from task_suites.core.atomic import write_text

ROLES = {
    "instruction": "instruction",
    "demo_input": "demonstration: input",
    "demo_output": "demonstration: answer",
    "query": "query",
    "option": "candidate answer",
}


def write_report(run_dir: Path) -> Path:
    """Writes `report.html` and `report.md` into a run's folder and returns the path of the former.

    Raises:
        UserError: what `Results.load` raises; a file of the folder that is not JSON (named, with the line).
    """
    run_dir = Path(run_dir)
    page = write_report_page(run_dir, run_dir / "report.html")
    write_text(run_dir / "report.md", markdown(Results.load(run_dir)))
    return page


def write_report_page(run_dir: Path, page: Path) -> Path:
    """Write the page of a run to a path of its own, and return the path.

    Raises:
        UserError: see `write_report`.
    """
    write_text(page, _page(run_dir, Results.load(run_dir)))
    return page


def _page(run_dir: Path, results: Results) -> str:
    made = rows(results)
    dropped = [c for c in results.cells if c.dropped]
    differences = found_differences(made)
    calibrated, spreads = calibrations(run_dir, results, made), sensitivities(made)
    trained = trainings(run_dir, made)
    lead, measured = headline_parts(results, made)
    figures = {
        "forest": charts.forest(made),
        "rank_figure": charts.rank_figure(differences),
        "bars": charts.bars(results, made),
        "by_k": charts.by_k(results, made),
        "by_k_and_task": charts.by_k_and_task(results, made),
        "by_cost": charts.by_cost(made),
        "reliability": charts.reliability_figures(calibrated),
        "spread_figure": charts.spread_figure(spreads),
        "training_figures": charts.training_figures(trained),
    }
    return render(
        "report.html.jinja",
        results=results,
        rows=made,
        lead=lead,
        measured=measured[0].upper() + measured[1:],
        legend=legend(results, made),
        caveats=caveats(results, made),
        differences=differences,
        differences_head=HEAD,
        dropped=sum(c.dropped for c in dropped),
        dropped_cells=count(len(dropped), "cell"),
        dropped_methods=[row.label for row in made if row.method.name in {c.method for c in dropped}],
        dropped_tasks=sorted({c.task for c in dropped}),
        per_task=_per_task(results, made),
        bar_methods=charts.shown(made),
        sensitivities=spreads,
        confusions=confusions(run_dir, results, made[0]),
        trainings=trained,
        drawn_trainings=charts.with_curves(trained),
        audit=audit(run_dir, results),
        prompt=read_example(run_dir),
        roles=ROLES,
        refusals=grouped(results),
        mistakes=mistakes(run_dir, results, made),
        calibrations=calibrated,
        manifest=list(_flat(results.manifest)),
        **figures,
    )


def render(template: str, **values: Any) -> str:
    """Return a page from one of the templates beside this file; every text is escaped.

    A template gets `script`, which sorts and filters tables, and `policy`, which lets a browser run that script and
    load nothing.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    loader = FunctionLoader(lambda name: resources.files("eval.report").joinpath(name).read_text("utf-8"))
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"duration": duration, "signed": signed, "p": p_text, "minus": _minus, "time": _time}
    script = resources.files("eval.report").joinpath("page.js").read_text("utf-8")
    seal = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{seal}'; base-uri 'none'"
    return environment.get_template(template).render(script=Markup(script), policy=policy, **values)


def colours() -> str:
    """Return the page's colours, light and dark, as CSS."""
    sheet = resources.files("eval.report").joinpath("page.css").read_text("utf-8")
    return sheet[: sheet.index("* {")]


@dataclass(frozen=True)
class TaskRow:
    """A task in the table by task: each method's mean (None where it did not run) and the best of them."""

    task: TaskResult
    cells: Sequence[Interval | None]
    best: float | None


def _per_task(results: Results, made: Sequence[Row]) -> list[TaskRow]:
    means = {row.method.name: task_means(row.cells) if row.cells else {} for row in made}
    entries = []
    for task in results.tasks:
        cells = [means[row.method.name].get(task.name) for row in made]
        entries.append(TaskRow(task, cells, max((round(c.mean, 1) for c in cells if c), default=None)))
    return entries


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield a nested manifest as (dotted name, text)."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and not any(isinstance(item, list | Mapping) for item in value):
        yield name, ", ".join(map(str, value))
    else:
        yield name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _minus(value: object) -> str:
    """Text with true minus signs, for the page."""
    return str(value).replace("-", "−")


def _time(stamp: object) -> str:
    """Return an ISO time with its offset to the minute; what is no such time unchanged."""
    try:
        return f"{datetime.strptime(str(stamp), '%Y-%m-%dT%H:%M:%S%z'):%Y-%m-%d %H:%M %Z}"
    except ValueError:
        return str(stamp)
