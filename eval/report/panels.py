"""The report's small figures, several of which stand side by side: reliability curves, score against k by task, and how
far scores spread over support sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from eval.calibration import Bin
from eval.report.drawing import FAINT, INK, MARKERS, STYLE, WIDTH, colour, short, smoothed, svg

SMALL = 2.7  # inches


@dataclass(frozen=True)
class Spread:
    """One method: each support set's deviation from the mean of its task, in points, and their standard deviation."""

    label: str
    deviations: Sequence[float]
    typical: float


@dataclass(frozen=True)
class Path:
    """A quantity against x: the number of its colour and marker, and parallel lists of x and y."""

    series: int
    x: Sequence[float]
    y: Sequence[float]


def reliability_panel(bins: Sequence[Bin], series: int, name: str, title: str) -> str:
    """Return accuracy against confidence; a dot's area is the share of the answers in its bin."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(SMALL, SMALL))
        axes = figure.add_axes((0.17, 0.17, 0.79, 0.72))
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (3, 3)), alpha=0.7)
        x, y = [b.confidence for b in bins], [b.accuracy for b in bins]
        axes.plot(x, y, color=colour(series), linewidth=1.4)
        axes.scatter(
            x, y, s=[12 + 200 * b.share for b in bins], color=colour(series), alpha=0.75, linewidths=0, clip_on=False
        )
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
        axes.set(xlabel="confidence", ylabel="accuracy")
        axes.set_title(short(name, 36), loc="left", fontsize=9)
        axes.tick_params(length=0)
        return svg(figure, title)


def k_panel(paths: Sequence[Path], ks: Sequence[int], chance: float | None, name: str, title: str) -> str:
    """Return one task's scores in points against the number of demonstrations, the k standing at even distances."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(SMALL, 2.0))
        axes = figure.add_axes((0.13, 0.17, 0.83, 0.68))
        if chance is not None:
            axes.axhline(chance, color=INK, linewidth=1, linestyle=(0, (3, 3)), alpha=0.7)
        for path in reversed(paths):
            width = 2.0 if path.series == 0 else 1.2
            style: Any = {"color": colour(path.series), "linewidth": width, "marker": MARKERS[path.series]}
            axes.plot([list(ks).index(int(k)) for k in path.x], path.y, markersize=4, **style)
        axes.set(xticks=range(len(ks)), xticklabels=ks, ylim=(-3, 103), yticks=(0, 50, 100))
        axes.margins(x=0.06)
        axes.set_title(short(name, 36), loc="left", fontsize=9)
        axes.tick_params(length=0)
        return svg(figure, title)


def spread_strip(spreads: Sequence[Spread], title: str) -> str:
    """Return a row of dots for each method, one a cell: how far it lies from the mean of its task."""
    height = 0.5 + 0.34 * len(spreads)
    far = 1.05 * max([1.0, *(abs(d) for item in spreads for d in item.deviations)])
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, height))
        axes = figure.add_axes((0.03, 0.4 / height, 0.94, 1 - 0.42 / height))
        axes.axvline(0, color=FAINT, linewidth=1)
        for place, item in enumerate(spreads):
            y = place + 0.68
            axes.scatter(
                item.deviations, [y] * len(item.deviations), s=22, color=colour(place), alpha=0.4, linewidths=0
            )
            axes.plot([-item.typical, item.typical], [y + 0.2] * 2, color=INK, linewidth=1.4)
            axes.text(-far, place + 0.36, short(item.label, 44), fontsize=8.5)
        axes.set(xlim=(-far, far), ylim=(len(spreads) + 0.05, 0), yticks=[], xlabel="points from the mean of the task")
        axes.grid(axis="y", visible=False)
        axes.spines["left"].set_visible(False)
        axes.tick_params(length=0)
        return svg(figure, title)


def curves(paths: Sequence[Path], ylabel: str, title: str, smooth: bool = False) -> str:
    """Return one quantity of several trainings against the outer step; with `smooth`, raw values stand faintly under
    their running average."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.9))
        axes = figure.add_axes((0.12, 0.17, 0.84, 0.79))
        for path in reversed(paths):
            paint = colour(path.series)
            if smooth:
                axes.plot(path.x, path.y, color=paint, linewidth=0.8, alpha=0.35)
                dot = MARKERS[path.series] if len(path.x) == 1 else None  # a line through one point cannot be seen
                axes.plot(path.x, smoothed(path.y), color=paint, linewidth=2, marker=dot, markersize=4)
            else:
                axes.plot(path.x, path.y, color=paint, linewidth=1.8, marker=MARKERS[path.series], markersize=4)
        axes.set(xlabel="outer step", ylabel=ylabel)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(length=0)
        return svg(figure, title)
