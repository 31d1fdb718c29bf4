"""What the results of an evaluation say: the headline table and sentence, and the caveats.

The page, the Markdown file and the terminal's table (eval/report/page.py) all print what is worked out here.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from eval.cells import Cell
from eval.refusals import gap_reasons, gap_sentence
from eval.results import MethodResult, Results
from eval.statistics import Gain, Interval, gain_interval, mean_interval, worst_seed


@dataclass(frozen=True)
class Row:
    """A method in the headline table.

    Attributes:
        method: the method.
        baseline: it is what the others are compared with.
        cells: its cells at the headline k.
        mean, worst: mean score with interval, and (seed, points) of the worst seed; None without cells.
        gain: over the baseline; None for the baseline itself and where nothing can be paired.
        remark: what makes its numbers differ from its neighbours', or "".
    """

    method: MethodResult
    baseline: bool
    cells: Sequence[Cell]
    mean: Interval | None
    worst: tuple[Any, float] | None
    gain: Gain | None
    remark: str

    @property
    def label(self) -> str:
        return str(self.method.label)

    def texts(self) -> tuple[str, ...]:
        """Return the row as texts: method, score, gain, p, wins/ties/losses, training and evaluation time."""
        gain = self.gain
        return (
            self.label + (" *" if self.remark else ""),
            str(self.mean) if self.mean else "-",
            "baseline" if self.baseline else signed(gain) if gain else "-",
            p_text(gain.p) if gain else "-",
            f"{gain.wins}/{gain.ties}/{gain.losses}" if gain else "-",
            duration(self.method.train_seconds),
            duration(self.method.eval_seconds),
        )


def rows(results: Results) -> list[Row]:
    """Return the headline table: the method of interest first, then the baseline, then the others by mean score.

    The method of interest is `comparison.method`, or the best one where that has no cells. A method whose cells are not
    the baseline's is compared on those that both have, and its `remark` says so.
    """
    k, wanted = results.headline_k, results.comparison
    cells = {method.name: results.cells_of(method.name, k) for method in results.methods}
    base = wanted.baseline if cells.get(wanted.baseline or "") else None
    refused = Counter(r.method for r in results.refusals if r.k == k and not r.by_design)
    made = [
        _row(method, cells[method.name], base, cells.get(base or "", []), k, refused[method.name])
        for method in results.methods
    ]
    made.sort(key=lambda row: -row.mean.mean if row.mean else math.inf)
    star = wanted.method if cells.get(wanted.method or "") else None
    star = star or next((r.method.name for r in made if r.mean and not r.baseline), base)
    return sorted(made, key=lambda row: (row.method.name != star, not row.baseline))


def _row(
    method: MethodResult, own: Sequence[Cell], base: str | None, other: Sequence[Cell], k: int, refused: int
) -> Row:
    baseline = method.name == base
    shared = {(c.task, c.seed) for c in own} & {(c.task, c.seed) for c in other}
    gain = gain_interval(own, other, common=True) if shared and not baseline else None
    mean, worst = (mean_interval(own), worst_seed(own)) if own else (None, None)
    remarks, done, of = [], method.cells_done, method.cells_all
    if refused:
        remarks.append(f"{refused} of {len(own) + refused} cells at k = {k} were refused")
    if not own:
        remarks.append(f"no cells at k = {k}")
    elif base and not baseline and not len(shared) == len(own) == len(other):
        remarks.append(f"gain on {len(shared)} shared cells (it has {len(own)}, the baseline {len(other)})")
    elif not refused and done is not None and of and done < of:
        remarks.append(f"{done} of {of} cells were evaluated")
    return Row(method, baseline, own, mean, worst, gain, "; ".join(remarks))


def headline(results: Results, made: Sequence[Row]) -> str:
    """Return the result in words: the gain with its interval, over how many tasks and seeds, with which model."""
    said, measured = headline_parts(results, made)
    return f"{said}, {measured}"


def headline_parts(results: Results, made: Sequence[Row]) -> tuple[str, str]:
    """Return (the gain with its interval, on what it was measured and what else is to be known)."""
    star, model = made[0], model_name(results.manifest)
    tasks, seeds = {c.task for c in star.cells}, {c.seed for c in star.cells}
    gain = star.gain
    if gain is None:
        said = f"{star.label} scores {star.mean} points"
    else:
        base = next(row for row in made if row.baseline)
        tasks &= {c.task for c in base.cells}
        seeds &= {c.seed for c in base.cells}
        if math.isnan(gain.low):
            said = f"{star.label} minus {base.label} is {signed(gain)} points"
        elif gain.low <= 0 <= gain.high:
            said = f"{star.label} and {base.label} cannot be told apart: the difference is {signed(gain)} points"
        else:
            size = replace(gain, mean=abs(gain.mean), low=min(abs(gain.low), abs(gain.high)))
            size = replace(size, high=max(abs(gain.low), abs(gain.high)))
            said = f"{star.label} scores {size} points {'higher' if gain.mean > 0 else 'lower'} than {base.label}"
    where = f"over {count(len(tasks), 'held-out task')} and {count(len(seeds), 'seed')}"
    where = f"{where}, with k = {results.headline_k} demonstrations{f' on {model}' if model else ''}."
    more = _also(results, made), _below_chance(results, star), gap_sentence(results)
    return said, " ".join(filter(None, [where, *more]))


def _below_chance(results: Results, star: Row) -> str:
    """Return a sentence where the method of interest scores less than chance does on its tasks; else nothing."""
    done = {cell.task for cell in star.cells}
    chances = [task.chance for task in results.tasks if task.name in done]
    known = [chance for chance in chances if chance is not None]
    if star.mean is None or not known or len(known) < len(chances) or star.mean.mean >= 100 * fmean(known):
        return ""
    return f"Guessing scores {100 * fmean(known):.1f} on these tasks, which is more than {star.label} has."


def _also(results: Results, made: Sequence[Row]) -> str:
    """Return the gain over `comparison.also`, a second baseline, as a sentence; "" where there is none."""
    name = results.comparison.also
    other = next((row for row in made[1:] if row.cells and row.method.name == name), None)
    if other is None:
        return ""
    gain = gain_interval(made[0].cells, other.cells, common=True)
    return f"Against {other.label}, the difference is {signed(gain)} points."


def caveats(results: Results, made: Sequence[Row]) -> list[str]:
    """Return what a reader must know to read the numbers rightly; the run's own notes last."""
    notes = []
    used = sorted({task.metric for task in results.tasks})
    if len(used) > 1:
        notes.append(
            f"Each task is scored by its own metric ({', '.join(used)}); means are over tasks, each weighing the same."
        )
    if any(row.gain for row in made):
        base = next(row.label for row in made if row.baseline)
        notes.append(
            f"p is two-sided, from a sign-flip test on the tasks' mean differences from {base}; "
            "it is not corrected for the number of methods compared."
        )
    notes += [said] if (said := few_tasks(made)) else []
    notes += [f"{row.label}: {row.remark}." for row in made if row.remark]
    notes += [f"Refused: {reason}" for reason in gap_reasons(results)]
    if results.k and max(results.k) > results.headline_k:
        notes.append(f"No cell at k = {max(results.k)} could be run, so the table is for k = {results.headline_k}.")
    return notes + [str(note) for note in [results.filtered, *(results.notes or [])] if note]


def few_tasks(made: Sequence[Row]) -> str:
    """Return what so few tasks that a p cannot be small, or an interval not be had, mean for the table; "" for more."""
    scored = [row for row in made if row.mean]
    gains = [row.gain for row in scored if row.gain]
    if any(row.mean and math.isnan(row.mean.low) for row in scored):
        return "One task with one support set allows no interval" + (", and no p below 1." if gains else ".")
    few = min((gain.tasks for gain in gains), default=0)
    if few == 1:
        return "With one task, interval and p are over seeds only and say nothing about other tasks."
    smallest = f"{2.0 ** (1 - few):.3g}"
    below = f"With {few} tasks the sign-flip test cannot give a p below {smallest} (2^(1 - tasks))"
    return f"{below}, whatever the interval." if 1 < few < 6 else ""


def legend(results: Results, made: Sequence[Row]) -> str:
    """Return how to read the table's columns."""
    text = f"Points (100 x score) at k = {results.headline_k}: means over tasks and seeds, 95 % intervals."
    if base := next((row.label for row in made if row.baseline), None):
        text += f" Gain, p and win/tie/loss (tasks) are against {base}, paired on task and seed."
    return text


def model_name(manifest: Any) -> str:
    """Return the base model's name out of a manifest, "" where it has none."""
    backbone = manifest.get("backbone") if isinstance(manifest, Mapping) else None
    if isinstance(backbone, dict):
        backbone = next((backbone[key] for key in ("model", "name", "id", "path") if backbone.get(key)), None)
    return str(backbone or "")


def signed(interval: Interval) -> str:
    """Return a difference as text, with its sign and interval."""
    return f"+{interval}" if round(interval.mean, 1) > 0 else str(interval)


def p_text(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float | None) -> str:
    """Seconds as people say them; a dash for none."""
    if seconds is None:
        return "-"
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
