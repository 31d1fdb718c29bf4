"""A finished run as something to look at: `report.html`, `report.md` and a table for the terminal.

Everything comes out of the run's folder: `results.json` (needed), `predictions/<method>.jsonl`, `metrics.jsonl` and
`prompt.json` (each left out of the page where it is missing). The page is one file that loads nothing: no script, no
font, no image from elsewhere. Texts of tasks are strangers' texts; the template engine escapes every one of them.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Any

from eval.refusals import gap_reasons, gap_sentence, grouped
from eval.report.differences import HEAD, Differences, found_differences
from eval.report.mistakes import calibrations, mistakes
from eval.report.summary import Row, caveats, count, duration, headline, legend, p_text, rows, signed
from eval.results import Results, TaskResult
from eval.statistics import Interval, mean_interval, task_means
from task_suites.core.errors import UserError
from task_suites.core.json_files import read_json, read_json_lines

BAR_METHODS = 5  # in the per-task figure; more would be a thicket
ROLES = {
    "instruction": "instruction",
    "demo_input": "demonstration: input",
    "demo_output": "demonstration: answer",
    "query": "query",
    "option": "candidate answer",
}


def write_report(run_dir: Path) -> Path:
    """Writes `report.html` and `report.md` into a run's folder and returns the path of the former.

    Each file is written beside its place and then moved there, so that a reader never sees half of one.

    Raises:
        UserError: what `Results.load` raises; a file of the folder that is not JSON (named, with the line).
    """
    run_dir = Path(run_dir)
    results = Results.load(run_dir)
    page = run_dir / "report.html"
    write_page(page, _page(run_dir, results))
    write_page(run_dir / "report.md", markdown(results))
    return page


def write_page_of(run_dir: Path, page: Path) -> Path:
    """Write the page of a run to a place of its own, and return it.

    Raises:
        UserError: see `write_report`.
    """
    write_page(page, _page(run_dir, Results.load(run_dir)))
    return page


def table(results: Results) -> str:
    """Return the headline table as plain text with aligned columns, for the terminal."""
    made = rows(results)
    head = ("method", "score", "gain", "p", "w/t/l", "training", "evaluation")
    lines = [head, *(row.texts() for row in made)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    text.insert(1, "  ".join("-" * w for w in widths))
    remarks = [f"* {row.label}: {row.remark}." for row in made if row.remark]
    remarks += [gap_sentence(results), *(f"  {reason}" for reason in gap_reasons(results))]
    return "\n".join(line.rstrip() for line in [*text, "", legend(results, made), *remarks]).rstrip()


def markdown(results: Results) -> str:
    """`report.md`: the sentence, the table and the caveats."""
    made = rows(results)

    def plain(text: object) -> str:
        return "".join(f"\\{c}" if c in "\\|`*_[]<>&#" else c for c in " ".join(str(text).split()))

    head = ("Method", "Score", "Gain", "p", "W/T/L", "Training", "Evaluation")
    lines = [head, (":--", *["--:"] * (len(head) - 1)), *(tuple(map(plain, row.texts())) for row in made)]
    parts = [f"# {plain(results.name)}", plain(headline(results, made))]
    parts += ["\n".join("| " + " | ".join(line) + " |" for line in lines), plain(legend(results, made))]
    if differences := found_differences(made):
        lines = [HEAD, (":--", *["--:"] * (len(HEAD) - 1)), *(tuple(map(plain, row)) for row in differences.rows())]
        parts += ["## Which methods differ", f"{plain(differences.label)}, compared with each other method:"]
        parts += ["\n".join("| " + " | ".join(line) + " |" for line in lines)]
        parts += ["\n".join(f"- {plain(note)}" for note in differences.notes), "## How to read the numbers"]
    parts += ["\n".join(f"- {plain(note)}" for note in caveats(results, made))]
    parts += [f"Made by:\n\n````\n{results.command}\n````"]
    return "\n\n".join(part for part in parts if part) + "\n"


def _page(run_dir: Path, results: Results) -> str:
    made = rows(results)
    dropped = [c for c in results.cells if c.dropped]
    differences = found_differences(made)
    return render(
        "report.html.jinja",
        results=results,
        rows=made,
        headline=headline(results, made),
        legend=legend(results, made),
        caveats=caveats(results, made),
        forest=_forest(made),
        differences=differences,
        differences_head=HEAD,
        rank_figure=_rank_figure(differences),
        dropped=sum(c.dropped for c in dropped),
        dropped_cells=count(len(dropped), "cell"),
        dropped_methods=[row.label for row in made if row.method.name in {c.method for c in dropped}],
        dropped_tasks=sorted({c.task for c in dropped}),
        per_task=_per_task(results, made),
        bars=_bars(results, made),
        bar_methods=[row for row in made if row.cells][:BAR_METHODS],
        by_k=_by_k(results, made),
        training=_training(run_dir / "metrics.jsonl"),
        prompt=_prompt(run_dir / "prompt.json"),
        roles=ROLES,
        refusals=grouped(results),
        mistakes=mistakes(run_dir, results, made),
        calibrations=calibrations(run_dir, results, made),
        manifest=list(_flat(results.manifest)),
    )


def render(template: str, **values: Any) -> str:
    """Return a page from one of the templates beside this file; every text is escaped."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    loader = FunctionLoader(lambda name: resources.files("eval.report").joinpath(name).read_text("utf-8"))
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"duration": duration, "signed": signed, "p": p_text, "minus": _minus, "time": _time}
    return environment.get_template(template).render(**values)


def colours() -> str:
    """Return the page's colours, light and dark, as CSS."""
    sheet = resources.files("eval.report").joinpath("page.css").read_text("utf-8")
    return sheet[: sheet.index("* {")]


@dataclass(frozen=True)
class Mark:
    """A gain on the axis: its mean, and where its interval starts and how wide it is, in percent of the axis."""

    at: float
    start: float
    width: float


@dataclass(frozen=True)
class Forest:
    """Gains on a common axis, by method; `zero` is the place of no gain in percent of the axis."""

    zero: float
    marks: Mapping[str, Mark]


@dataclass(frozen=True)
class TaskRow:
    """A task in the table by task: each method's mean (None where it did not run) and the best of them."""

    task: TaskResult
    cells: Sequence[Interval | None]
    best: float | None


def _forest(made: Sequence[Row]) -> Forest | None:
    """Return where gains and their intervals lie on a common axis, or None where nothing is compared."""
    gains = {row.method.name: row.gain for row in made if row.gain}
    if not gains:
        return None
    ends = [0.0] + [x for g in gains.values() for x in (g.mean, g.low, g.high) if not math.isnan(x)]
    low, span = min(ends), (max(ends) - min(ends)) or 1.0

    def place(value: float) -> float:
        return round(4 + 92 * (value - low) / span, 2)

    marks = {}
    for name, g in gains.items():
        a, b = (g.mean, g.mean) if math.isnan(g.low) else (g.low, g.high)
        marks[name] = Mark(place(g.mean), place(a), round(place(b) - place(a), 2))
    return Forest(place(0.0), marks)


def _rank_figure(differences: Differences | None) -> Any:
    """Return the critical-difference diagram, or None where the methods have no ranks."""
    from markupsafe import Markup

    from eval.report.figures import critical_difference

    if differences is None or differences.ranks is None:
        return None
    found, labels = differences.ranks, differences.labels
    means = {labels[name]: rank for name, rank in found.means.items()}
    groups = [[labels[name] for name in group] for group in found.groups]
    return Markup(critical_difference(means, groups, found.critical_difference, "Mean ranks over tasks"))


def _per_task(results: Results, made: Sequence[Row]) -> list[TaskRow]:
    means = {row.method.name: task_means(row.cells) if row.cells else {} for row in made}
    entries = []
    for task in results.tasks:
        cells = [means[row.method.name].get(task.name) for row in made]
        entries.append(TaskRow(task, cells, max((round(c.mean, 1) for c in cells if c), default=None)))
    return entries


def _bars(results: Results, made: Sequence[Row]) -> list[Any]:
    from markupsafe import Markup

    from eval.report.figures import Bar, TaskBars, task_bars

    shown = [row for row in made if row.cells][:BAR_METHODS]
    means = [task_means(row.cells) for row in shown]
    groups = []
    for task in results.tasks:
        found = [(i, m[task.name]) for i, m in enumerate(means) if task.name in m]
        chance = None if task.chance is None else 100 * task.chance
        if found:
            groups.append(TaskBars(task.name, chance, [Bar(i, v.mean, v.low, v.high) for i, v in found]))
    half = (len(groups) + 1) // 2 if len(groups) > 3 else len(groups)
    columns = [part for part in (groups[:half], groups[half:]) if part]
    return [Markup(task_bars(part, f"Score by task, part {i + 1}")) for i, part in enumerate(columns)]


def _by_k(results: Results, made: Sequence[Row]) -> Any:
    from markupsafe import Markup

    from eval.report.figures import SERIES, Line, score_by_k

    lines = []
    for i, row in enumerate([row for row in made if row.cells][:SERIES]):
        own = results.cells_of(row.method.name)
        ks = sorted({c.k for c in own})
        points = [mean_interval(c for c in own if c.k == k) for k in ks]
        low = [p.mean if math.isnan(p.low) else p.low for p in points]
        high = [p.mean if math.isnan(p.high) else p.high for p in points]
        lines.append(Line(i, row.label, ks, [p.mean for p in points], low, high))
    several = len({k for line in lines for k in line.k}) > 1
    return Markup(score_by_k(lines, "Mean score against the number of demonstrations")) if several else None


def _training(path: Path) -> list[Any]:
    """Return the training curves: loss, and the validation score in points where there is one."""
    from markupsafe import Markup

    from eval.report.figures import curve

    steps = [line for line in _lines(path) if isinstance(line, dict) and "step" in line]
    loss = [(s["step"], s["loss"]) for s in steps if isinstance(s.get("loss"), int | float)]
    valid = [(s["step"], 100 * s["validation"]) for s in steps if isinstance(s.get("validation"), int | float)]
    figures = []
    if loss:
        x, y = zip(*loss, strict=True)
        figures.append(Markup(curve(x, y, "training loss (nats)", "Training loss by step", smooth=True)))
    if valid:
        x, y = zip(*valid, strict=True)
        figures.append(Markup(curve(x, y, "validation score (points)", "Validation score by step")))
    return figures


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


def _prompt(path: Path) -> Any:
    """Return a rendered prompt, checked; None where the file is absent."""
    prompt = _json(path)
    segments = prompt.get("segments") if isinstance(prompt, dict) else []
    if prompt is not None and not (
        isinstance(segments, list) and segments and all({"role", "text"} <= s.keys() for s in segments)
    ):
        raise UserError("not a rendered prompt", where=path, expected='{"task", "k", "segments": [{"role", "text"}]}')
    return prompt


def _json(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def _lines(path: Path) -> Iterator[Any]:
    """Return the values of a JSON-lines file; nothing where the file is absent."""
    return (value for _, value in read_json_lines(path, None)) if path.is_file() else iter(())


def write_page(path: Path, text: str) -> None:
    """Writes beside the place and then moves there."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_text(text, "utf-8")
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
