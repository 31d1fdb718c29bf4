"""The report's large figures: bars by task, score against k and against cost, ranks, and training curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from eval.report.drawing import FAINT, INK, MARKERS, STYLE, WIDTH, colour, short, spread, svg
from eval.report.labels import name_dots

NAMED = 8  # methods off the front; of more, names would lie on each other


@dataclass(frozen=True)
class Bar:
    """One method on one task: its colour's number, and mean, lowest and highest seed in points."""

    series: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class TaskBars:
    """The bars of one task from top to bottom, and the score of guessing in points (None where there is none)."""

    name: str
    chance: float | None
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Line:
    """One method against k: parallel lists of k, mean and interval ends in points."""

    series: int
    label: str
    k: Sequence[int]
    mean: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


def task_bars(tasks: Sequence[TaskBars], title: str) -> str:
    """Grouped horizontal bars, one group a task, its name above it; series 0 is drawn solid with its value."""
    bar, head, gap = 0.125, 0.24, 0.1
    height = sum(head + bar * len(t.bars) + gap for t in tasks)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height + 0.35))
        axes = figure.add_axes((0.03, 0.3 / (height + 0.35), 0.9, height / (height + 0.35)))
        y = 0.0
        for task in tasks:
            axes.text(0, y + head - 0.075, short(task.name, 44), fontsize=9)
            top = y = y + head
            for item in task.bars:
                middle, first = y + bar / 2, item.series == 0
                paint: Any = {"color": colour(item.series), "alpha": 1.0 if first else 0.6}
                axes.barh(middle, item.mean, height=bar * 0.84, **paint)
                if item.high > item.low:
                    axes.plot([item.low, item.high], [middle, middle], color=INK, linewidth=0.9, alpha=0.75)
                if first:
                    end = max(item.mean, item.high) + 1.2
                    axes.text(end, middle, f"{item.mean:.0f}", fontsize=7.5, va="center", fontweight="bold")
                y += bar
            if task.chance is not None:
                axes.plot([task.chance] * 2, [top, y + 0.02], color=INK, linewidth=1.3)
            y += gap
        axes.set(xlim=(0, 104), ylim=(height, 0), yticks=[], xticks=[0, 25, 50, 75, 100])
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
        return svg(figure, title)


def score_by_k(lines: Sequence[Line], title: str) -> str:
    """Mean score against the number of demonstrations, the k standing at even distances.

    Series 0 and 1 have their interval as a band; the bands of all would hide each other.
    """
    ks = sorted({k for line in lines for k in line.k})
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.6))
        axes = figure.add_axes((0.12, 0.13, 0.59, 0.84))
        for line in reversed(lines):  # series 0 last, on top
            x, first = [ks.index(k) for k in line.k], line.series == 0
            paint = colour(line.series)
            if line.series < 2:
                axes.fill_between(x, line.low, line.high, color=paint, alpha=0.16, linewidth=0)
            axes.plot(
                x, line.mean, color=paint, linewidth=2.4 if first else 1.4, marker=MARKERS[line.series], markersize=5
            )
        axes.set(xticks=range(len(ks)), xticklabels=ks, xlabel="k (demonstrations)", ylabel="mean score (points)")
        axes.margins(x=0.06)
        axes.tick_params(length=0)
        ends = {line.series: line.mean[-1] for line in lines}
        low, high = axes.get_ylim()
        for series, place in spread(ends, 0.055 * (high - low)).items():
            label = next(line.label for line in lines if line.series == series)
            axes.annotate(
                short(label, 24),
                (len(ks) - 1, place),
                xytext=(16, 0),
                textcoords="offset points",
                color=colour(series),
                va="center",
                fontsize=8.5,
                fontweight="bold" if series == 0 else "normal",
                annotation_clip=False,
            )
        return svg(figure, title)


@dataclass(frozen=True)
class Panel:
    """One task of the benchmark: (seconds, points, label) of each method, and which of them none other beats."""

    name: str
    points: Sequence[tuple[float, float, str]]
    front: Sequence[int]


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the points (cost, score) that none other beats in both, cheapest first."""
    order = sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1]))
    front: list[int] = []
    for i in order:
        if not front or points[i][1] > points[front[-1]][1]:
            front.append(i)
    return front


def pareto_panel(panel: Panel, xlabel: str, title: str) -> str:
    """Score against cost on a logarithmic axis; methods on the front are joined and named, the others are dots, and
    named where they are few."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 3.1))
        axes = figure.add_axes((0.12, 0.17, 0.84, 0.72))
        costs = [cost for cost, _, _ in panel.points]
        scores = [value for _, value, _ in panel.points]
        axes.scatter(costs, scores, s=14, color=colour(6), zorder=2)
        front = [panel.points[i] for i in panel.front]
        axes.plot(
            [p[0] for p in front], [p[1] for p in front], color=colour(0), linewidth=1.4, marker="o", markersize=5
        )
        low, high = axes.get_ylim()
        axes.set(xscale="log", ylim=(low, high + 0.12 * (high - low)), xlabel=xlabel, ylabel="score (points)")
        axes.xaxis.set_major_formatter(lambda seconds, _: f"{seconds:g}")
        axes.xaxis.set_minor_formatter(lambda seconds, _: "")
        axes.set_title(panel.name, loc="left", fontsize=9.5)
        axes.margins(x=0.12)
        others = [point for i, point in enumerate(panel.points) if i not in panel.front]
        named = [*front, *(others if len(others) <= NAMED else ())]
        paints = [colour(0)] * len(front) + [INK] * (len(named) - len(front))
        dots = [point[:2] for point in (*front, *others)]
        name_dots(axes, dots, [short(point[2], 22) for point in named], paints, [point[:2] for point in front])
        axes.tick_params(length=0)
        return svg(figure, title)


def critical_difference(means: Mapping[str, float], groups: Sequence[Sequence[str]], width: float, title: str) -> str:
    """Return methods on an axis of mean ranks, best on the left; a bar joins those that are not told apart.

    Args:
        means: the mean rank of each method by its label.
        groups: sets of labels that a bar joins.
        width: the critical difference, drawn above the axis.
    """
    labels, step = sorted(means, key=lambda label: (means[label], label)), 0.2
    half, bars = (len(labels) + 1) // 2, 0.13 * len(groups)
    height = 0.65 + bars + step * half
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0.32, 0.02, 0.36, 0.98))
        low, high = math.floor(min(means.values())), math.ceil(max(means.values()))
        axes.set(xlim=(low, max(high, low + 1)), ylim=(height, 0))
        axes.axis("off")
        axes.plot(axes.get_xlim(), [0.5, 0.5], color=INK, linewidth=1)
        for tick in range(low, max(high, low + 1) + 1):
            axes.plot([tick, tick], [0.45, 0.5], color=INK, linewidth=1)
            axes.text(tick, 0.42, str(tick), ha="center", fontsize=8)
        axes.plot([low, low + width], [0.22, 0.22], color=INK, linewidth=2, clip_on=False)
        axes.text(low, 0.16, f"critical difference {width:.2f}", fontsize=8)
        for number, group in enumerate(groups):
            y, ends = 0.6 + 0.13 * number, [means[label] for label in group]
            axes.plot([min(ends) - 0.03, max(ends) + 0.03], [y, y], color=colour(0), linewidth=3)
        span = axes.get_xlim()[1] - low
        for place, label in enumerate(labels):
            left = place < half
            y = 0.65 + bars + step * (place if left else len(labels) - 1 - place)
            edge = low - 0.05 * span if left else low + 1.05 * span
            axes.plot([means[label], means[label], edge], [0.5, y, y], color=FAINT, linewidth=0.8, clip_on=False)
            text = f"{short(label, 22)} {means[label]:.1f}"
            axes.text(
                edge + (-0.02 if left else 0.02) * span,
                y,
                text,
                ha="right" if left else "left",
                va="center",
                fontsize=8,
            )
        return svg(figure, title)
