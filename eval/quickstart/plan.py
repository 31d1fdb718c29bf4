"""The size of a quickstart: chosen once, kept in the run's folder, with the time that its starts have spent."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from eval.contenders import Contender
from eval.fingerprints import hashed
from eval.quickstart.config import QuickstartRun
from eval.quickstart.rates import REPORT_SECONDS, Rates, Timing, measure_finetune, measured, need, parts
from eval.quickstart.sizes import SAFETY, SIZES, Need, SizeName, fitting
from eval.quickstart.work import FREE, Setting, Work
from metaicl.training.progress_bars import no_bar
from metaicl.training.run import duration, machine
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError
from task_suites.core.json_files import read_json
from task_suites.task import Task

Cell = tuple[Task, int, int]  # task, support set and k
FILE = "plan.json"
LASTING = 3600.0  # seconds for which what was timed counts: other work on the machine may have ended since
TIMING = 0.25  # share of the budget that timing may take; what is not timed by then is guessed
RESERVE = 3 * REPORT_SECONDS  # seconds that are kept for the end of the run


@dataclass
class Clock:
    """The seconds of a quickstart.

    Attributes:
        limit: seconds in all, over the starts of a run that was interrupted; None for none.
        started: the monotonic clock when this start began.
        before: seconds of its earlier starts.
    """

    limit: float | None
    started: float = field(default_factory=time.monotonic)
    before: float = 0.0

    @property
    def seconds(self) -> float:
        """The seconds that have gone, those of earlier starts included."""
        return self.before + time.monotonic() - self.started

    @property
    def left(self) -> float:
        return math.inf if self.limit is None else self.limit - self.seconds


@dataclass
class Kept:
    """What a run's folder keeps of its plan.

    Attributes:
        command: a hash of the command's configuration, to which the plan belongs.
        began: the wall clock when this start began.
        size: the size that was chosen.
        final: whether its training has begun: from then on the size of the training stays.
        evaluated: the size of the comparison, once the run has ended.
        before: seconds that interrupted starts have spent.
        machine: a hash of the machine and of what was timed on it.
        rates: how quick that machine was (`Rates.to_json`).
    """

    command: str
    began: float
    size: SizeName | None = None
    final: bool = False
    evaluated: SizeName | None = None
    before: float = 0.0
    machine: str = ""
    rates: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        write_text(folder / FILE, json.dumps(asdict(self), indent=1) + "\n")


def kept_plan(run: QuickstartRun, folder: Path, now: float | None = None) -> Kept:
    """Return the plan of this configuration for a start that begins at the wall clock `now`.

    What was timed within the last hour is taken from a start of any minutes and size on this machine.

    A start that was killed could not write how long it took: it lasted from its beginning to the last change of a file
    in the folder. A run that has ended has all its minutes again.
    """
    suite = replace(run.suite, names=sorted(run.suite.names))
    command = hashed(asdict(replace(run, suite=suite, json=False, progress=True)))
    timed_on = hashed([machine(), asdict(run.backbone), asdict(suite), run.k, run.queries])
    fresh = Kept(command, time.time() if now is None else now, machine=timed_on)
    path = folder / FILE
    if not path.is_file():
        return fresh
    last = Kept(**read_json(path))
    if last.machine != timed_on or fresh.began - last.began > LASTING:
        last = replace(last, machine=timed_on, rates={})
    fresh.rates = last.rates
    if last.command != fresh.command or last.size not in SIZES:
        return fresh
    if last.evaluated:
        return replace(last, began=fresh.began, before=0.0)
    changed = max(file.stat().st_mtime for file in folder.rglob("*") if file.is_file())
    return replace(last, began=fresh.began, before=last.before + max(0.0, changed - last.began))


@dataclass
class Timings:
    """Seconds of each part: as estimated, and as they came out."""

    estimated: dict[str, float]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - started

    def write(self, path: Path, **totals: Any) -> None:
        rows = [
            {"part": name, "estimated": round(self.estimated.get(name, 0.0), 2), "seconds": round(spent, 2)}
            for name, spent in {**dict.fromkeys(self.estimated, 0.0), **self.seconds}.items()
        ]
        write_text(path, json.dumps({**totals, "parts": rows}, indent=1) + "\n")


@dataclass
class Pace:
    """The cells that have run since the choice: the seconds that they should have taken, and that they took."""

    expected: float = 0.0
    seconds: float = 0.0

    @property
    def slower(self) -> float:
        """How many times as long as expected they took; at least 1."""
        return max(1.0, self.seconds / self.expected) if self.expected else 1.0


@dataclass
class Choice:
    """The work of the size that is chosen.

    Attributes:
        work: the training's size, and the largest comparison.
        rates: how quick this machine is.
        timings: seconds of each part that is not finished.
        estimated_seconds: of the whole run, its earlier starts included.
        pace: how quick this machine is since then.
    """

    work: Work
    rates: Rates
    timings: Timings
    estimated_seconds: float
    pace: Pace = field(default_factory=Pace)

    def cell_seconds(self, work: Work, made: Contender, cell: Cell) -> float:
        """Return the seconds that a cell should take; 0 where it was not measured."""
        rate = self.rates.answering.get(made.name)
        size = work.comparison.size(made.build(), *cell) if rate else 0
        return rate.seconds([size]) if rate and size else 0.0


def chosen(setting: Setting, clock: Clock, kept: Kept) -> Choice:
    """Measure this machine and choose the largest size that fits into what is left, or the smallest of all.

    Raises:
        UserError: not even the smallest fits with the values that the user gave.
    """
    with timing(setting, clock) as may_time:
        rates = measured(setting, Rates.from_json(kept.rates), may_time)
        return _chosen(setting, clock, kept, rates, may_time)


@contextmanager
def timing(setting: Setting, clock: Clock) -> Iterator[Timing]:
    """Yield what says whether there is time to time a part, and draws how far timing is."""
    started, limit = time.monotonic(), clock.limit
    total = len(setting.untrained) - len(FREE) + 2 * len(setting.works()[0].trainings)
    with tqdm(
        total=total, desc="timing", unit="part", disable=no_bar(setting.run.progress), leave=False, dynamic_ncols=True
    ) as bar:

        def may_time(part: str) -> bool:
            bar.update()
            bar.set_postfix_str(part)
            return limit is None or time.monotonic() - started < TIMING * limit

        yield may_time


def _chosen(setting: Setting, clock: Clock, kept: Kept, rates: Rates, may_time: Timing) -> Choice:
    works = {work.name: work for work in setting.works()}
    if kept.final and kept.size in works:
        works = {kept.size: works[kept.size]}
    needs = {name: need(work, rates) for name, work in works.items()}
    near = [work for name, work in works.items() if needs[name].total <= clock.left]
    if any(work.size.finetune_cells for work in near):  # else it would be measured for nothing
        measure_finetune(setting, rates, near, may_time)
        needs = {name: need(work, rates) for name, work in works.items()}
    kept.rates = rates.to_json()
    kept.write(setting.folder)
    name = fitting(needs, clock.left)
    if name is None and not kept.final and setting.run.asked.given:
        raise _too_long(clock, needs)
    work = works[name] if name else list(works.values())[-1]
    total = needs[work.name].total
    return Choice(work, rates, Timings(parts(work, rates)), clock.seconds + total)


def _too_long(clock: Clock, needs: dict[SizeName, Need]) -> UserError:
    name, needed = list(needs.items())[-1]
    minutes = math.ceil((clock.seconds + needed.total / SAFETY) / 60)
    left = f"{duration(max(0.0, clock.left))} left of {duration(clock.limit or 0.0)}"
    return UserError(
        f"the size {name} with the options given takes too long for the budget on this machine",
        found=f"about {duration(needed.total)}, and {left}",
        fix=f"Give it more time (--minutes {minutes}), or name a size and no minutes (--size {name}).",
    )
