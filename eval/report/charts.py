"""The figures of a run's page, from its rows: each function picks what is drawn and says in words what it shows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from markupsafe import Markup

from eval.report.background import Training
from eval.report.differences import Differences
from eval.report.drawing import SERIES
from eval.report.figures import Bar, Line, Panel, TaskBars, critical_difference, pareto, pareto_panel, score_by_k
from eval.report.figures import task_bars as drawn_bars
from eval.report.mistakes import Trust
from eval.report.panels import Path, Spread, curves, k_panel, reliability_panel, spread_strip
from eval.report.sensitivity import Sensitivity
from eval.report.summary import Row, duration
from eval.results import Results
from eval.statistics import mean_interval, task_means

BAR_METHODS = 5  # in the figures by task; more would be a thicket
PANELS = 6  # reliability curves


@dataclass(frozen=True)
class Mark:
    """A gain on the axis: its mean, and where its interval starts and how wide it is, in percent of the axis."""

    at: float
    start: float
    width: float


@dataclass(frozen=True)
class Forest:
    """Gains on a common axis, by method; `zero` is the position of no gain in percent of the axis."""

    zero: float
    marks: Mapping[str, Mark]


def forest(made: Sequence[Row]) -> Forest | None:
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


def rank_figure(differences: Differences | None) -> Markup | None:
    """Return the critical-difference diagram, or None where the methods have no ranks."""
    if differences is None or differences.ranks is None:
        return None
    found, labels = differences.ranks, differences.labels
    means = {labels[name]: rank for name, rank in found.means.items()}
    groups = [[labels[name] for name in group] for group in found.groups]
    said = "; ".join(f"{label} {rank:.1f}" for label, rank in means.items())
    joined = "; ".join(" and ".join(group) for group in groups) or "none"
    title = f"Mean ranks over tasks, the best first: {said}. Not told apart: {joined}."
    return Markup(critical_difference(means, groups, found.critical_difference, title))


def bars(results: Results, made: Sequence[Row]) -> list[Markup]:
    """Return the score by task as bars, in two figures where there are many tasks."""
    means = [task_means(row.cells) for row in shown(made)]
    groups = []
    for task in results.tasks:
        found = [(i, m[task.name]) for i, m in enumerate(means) if task.name in m]
        chance = None if task.chance is None else 100 * task.chance
        if found:
            groups.append(TaskBars(task.name, chance, [Bar(i, v.mean, v.low, v.high) for i, v in found]))
    half = (len(groups) + 1) // 2 if len(groups) > 3 else len(groups)
    columns = [part for part in (groups[:half], groups[half:]) if part]
    more = "The table below has the numbers."
    return [Markup(drawn_bars(part, f"Score by task, part {i + 1}. {more}")) for i, part in enumerate(columns)]


def shown(made: Sequence[Row]) -> list[Row]:
    """Return the methods that the figures by task show."""
    return [row for row in made if row.cells][:BAR_METHODS]


def by_k(results: Results, made: Sequence[Row]) -> Markup | None:
    """Return the mean score against k; None for a single k."""
    lines = []
    for i, row in enumerate([row for row in made if row.cells][:SERIES]):
        own = results.cells_of(row.method.name)
        ks = sorted({c.k for c in own})
        points = [mean_interval(c for c in own if c.k == k) for k in ks]
        low = [p.mean if math.isnan(p.low) else p.low for p in points]
        high = [p.mean if math.isnan(p.high) else p.high for p in points]
        lines.append(Line(i, row.label, ks, [p.mean for p in points], low, high))
    if len({k for line in lines for k in line.k}) < 2:
        return None
    said = [f"{n.label} from {n.mean[0]:.1f} at k = {n.k[0]} to {n.mean[-1]:.1f} at k = {n.k[-1]}" for n in lines]
    return Markup(score_by_k(lines, f"Mean score against the number of demonstrations: {'; '.join(said)}."))


def by_k_and_task(results: Results, made: Sequence[Row]) -> list[Markup]:
    """Return the score against k of each task; nothing for a single k."""
    ks = sorted({cell.k for cell in results.cells})
    if len(ks) < 2:
        return []
    found: dict[tuple[str, str, int], list[float]] = {}
    for cell in results.cells:
        found.setdefault((cell.task, cell.method, cell.k), []).append(100 * cell.score)
    panels, drawn = [], shown(made)
    for task in results.tasks:
        paths = []
        for i, row in enumerate(drawn):
            own = [(k, fmean(found[key])) for k in ks if (key := (task.name, row.method.name, k)) in found]
            if own:
                paths.append(Path(i, *zip(*own, strict=True)))
        if paths:
            said = "; ".join(f"{drawn[p.series].label} {', '.join(f'{y:.0f}' for y in p.y)}" for p in paths)
            chance = None if task.chance is None else 100 * task.chance
            title = f"{task.name}: score at k = {', '.join(map(str, ks))}: {said}."
            panels.append(Markup(k_panel(paths, ks, chance, task.name, title)))
    return panels


def by_cost(made: Sequence[Row]) -> Markup | None:
    """Return the mean score against the seconds of a new task; None below two methods with known seconds."""
    rows = [row for row in made if row.mean and any(cell.seconds > 0 for cell in row.cells)]
    points = [
        (max(1e-3, fmean(cell.seconds for cell in row.cells)), row.mean.mean, row.label) for row in rows if row.mean
    ]
    if len(points) < 2:
        return None
    front = pareto([(cost, score) for cost, score, _ in points])
    said = "; ".join(f"{points[i][2]} {points[i][1]:.1f} points in {duration(points[i][0])}" for i in front)
    title = f"Mean score against seconds for a new task. No other method is both better and quicker than: {said}."
    return Markup(pareto_panel(Panel("", points, front), "seconds for a new task, adaptation and queries", title))


def reliability_figures(found: Sequence[Trust]) -> list[Markup]:
    """Return the reliability curves of the first methods."""
    figures = []
    for i, entry in enumerate(found[:PANELS]):
        said = f"mean confidence {entry.pooled.confidence:.2f}, accuracy {entry.pooled.accuracy:.2f}"
        title = f"Reliability curve of {entry.row.label}: {said}, ECE {entry.pooled.ece:.3f}."
        figures.append(Markup(reliability_panel(entry.pooled.bins, i, entry.row.label, title)))
    return figures


def spread_figure(found: Sequence[Sensitivity]) -> Markup | None:
    """Return the spread over support sets of the first methods, or None without one."""
    if not found:
        return None
    drawn = [Spread(one.row.label, one.deviations, one.typical) for one in found[:SERIES]]
    said = "; ".join(f"{one.label} {one.typical:.1f}" for one in drawn)
    return Markup(spread_strip(drawn, f"Standard deviation over support sets in points: {said}."))


def with_curves(trainings: Sequence[Training]) -> list[Training]:
    """Return the trainings that `training_figures` draws."""
    return [one for one in trainings if any(one.curve.values())][:SERIES]


def training_figures(trainings: Sequence[Training]) -> list[Markup]:
    """Return the training curves: loss, and the validation score in points where there is one."""
    figures: list[Markup] = []
    kinds: Any = (
        ("loss", "training loss (nats)", "Training loss by step", 1, True),
        ("validation", "validation score (points)", "Validation score by step", 100, False),
    )
    for name, axis, title, factor, smooth in kinds:
        paths, said = [], []
        for i, one in enumerate(with_curves(trainings)):
            if points := one.curve.get(name):
                steps, values = zip(*points, strict=True)
                paths.append(Path(i, steps, [factor * value for value in values]))
                said.append(f"{one.label} from {paths[-1].y[0]:.2f} to {paths[-1].y[-1]:.2f}")
        if paths:
            figures.append(Markup(curves(paths, axis, f"{title}: {'; '.join(said)}.", smooth)))
    return figures
