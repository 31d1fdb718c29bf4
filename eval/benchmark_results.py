"""What the benchmark of methods found, as objects. An `Entry` is one method on one task at one k; `BenchmarkResults`
holds all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import Any

from eval.cells import Cell, as_object
from eval.statistics import Gain, Interval, gain_interval, mean_interval
from eval.store import Store
from task_suites.core.errors import UserError
from task_suites.core.field_types import read_object
from task_suites.core.json_files import read_json
from task_suites.core.line_store import LOST

SCHEMA = 3  # of benchmark.json
RESULTS = "benchmark.json"  # in a benchmark's folder: what was compared, and the key of each entry
ENTRIES = "benchmark.jsonl"  # in a benchmark's folder: one line for each entry
AGAIN = "Run metaicl benchmark again; entries that are known are kept."


@dataclass(frozen=True)
class Entry:
    """One method on one task at one k, over all support sets that could be answered.

    Attributes:
        method, task, k: what was measured.
        score, low, high: mean score in points with its 95 % interval.
        seeds: the number of support sets that were answered.
        key: a hash of what the entry depends on.
        queries: the number of queries over all support sets.
        adapt_seconds: mean seconds of adapting to a support set; None where not known.
        query_seconds: mean seconds of one query; None where not known.
        ece, brier: calibration, where the answers have scores.
        train_seconds, steps: of the meta-training.
        machine: what it was measured on.
        refused_seeds: the reasons of the support sets that were refused, by seed.
        points: for each training (one, where there is none), the points of each support set by its seed; None where
            they were not kept.
    """

    method: str
    task: str
    k: int
    score: float
    low: float
    high: float
    seeds: int
    key: str = ""
    queries: int | None = None
    adapt_seconds: float | None = None
    query_seconds: float | None = None
    ece: float | None = None
    brier: float | None = None
    train_seconds: float | None = None
    steps: int | None = None
    machine: str | None = None
    refused_seeds: Mapping[str, str] | None = None
    points: Sequence[Mapping[str, float]] | None = None

    def cells(self) -> list[Cell]:
        """Return a cell for each training and support set, as far as the statistics need it."""
        return [
            Cell(self.method, self.task, int(seed), self.k, value / 100, run=str(training))
            for training, points in enumerate(self.points or ())
            for seed, value in points.items()
        ]


@dataclass(frozen=True)
class RefusedEntry:
    """One method on one task at one k, where every support set was refused.

    Attributes:
        method, task, k, key, steps, machine: as in `Entry`.
        refused: the reason.
    """

    method: str
    task: str
    k: int
    refused: str
    key: str = ""
    steps: int | None = None
    machine: str | None = None


def entry_store(path: Path) -> Store[Entry | RefusedEntry]:
    """Return the store of the entries in a file.

    Raises:
        UserError: a line lacks a field.
    """
    return Store(path, _entry, as_object)


def _entry(line: Mapping[str, Any], where: str) -> Entry | RefusedEntry:
    """Return the entry that a line holds."""
    if "key" not in line:
        raise UserError("not an entry of a benchmark", where=where, found=f"keys {sorted(line)[:8]}", fix=LOST)
    if "refused" in line:
        return RefusedEntry(**read_object(RefusedEntry, line, where, "the entry"))
    return Entry(**read_object(Entry, line, where, "the entry"))


@dataclass(frozen=True)
class BenchmarkResults:
    """All entries of a benchmark that are known.

    Attributes:
        name, created, command, manifest, protocol, filtered, notes: as in `eval.results.Results`.
        applications: the tasks of each application, by its name.
        budget_seconds: the seconds that each meta-training may take.
        methods: the names of the methods, in the order of the rows.
        entries: the entries, refused ones among them.
        trainings: of each method that is meta-trained.
    """

    name: str
    created: str
    command: str
    manifest: Mapping[str, Any]
    protocol: Mapping[str, Any]
    applications: Mapping[str, Sequence[str]]
    budget_seconds: float
    methods: Sequence[str]
    entries: tuple[Entry | RefusedEntry, ...]
    filtered: str | None = None
    notes: Sequence[str] = field(default=())
    trainings: int = 1

    @classmethod
    def load(cls, path: Path) -> BenchmarkResults:
        """Return the benchmark in a file. The file names entries by their keys; the entries lie in `benchmark.jsonl`
        beside it.

        Raises:
            UserError: there is no such file, it is of another version, or an entry is missing.
        """
        if not path.is_file():
            raise UserError("there is no benchmark here", where=path, fix="Run metaicl benchmark first.")
        value = read_json(path)
        own = read_object(cls, value, path, "the top level", "schema")
        if value["schema"] != SCHEMA:
            raise UserError("the benchmark was written by another version of metaicl", where=path, fix=AGAIN)
        entries = entry_store(path.with_name(ENTRIES))
        if lost := [key for key in own["entries"] if key not in entries]:
            what = f"{len(lost)} of the benchmark's entries are not in {ENTRIES}"
            raise UserError(what, where=path, found=lost[0], fix=AGAIN)
        return cls(**{**own, "entries": tuple(entries[key] for key in own["entries"])})

    def to_json(self) -> dict[str, Any]:
        """Return the content of `benchmark.json`, which has the key of each entry."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"schema": SCHEMA, **own, "entries": [one.key for one in self.entries]}

    @property
    def headline_k(self) -> int:
        """The largest k."""
        return int(max(self.protocol["k"]))

    @property
    def scored(self) -> list[Entry]:
        """The entries that have a score."""
        return [one for one in self.entries if isinstance(one, Entry)]

    @property
    def tasks(self) -> list[str]:
        """All tasks, by application."""
        return list(chain.from_iterable(self.applications.values()))

    @property
    def tasks_of_all(self) -> list[str]:
        """The tasks on which every method has points at the headline k, of the methods that have some."""
        served = self._by_method().values()
        return [task for task in self.tasks if served and all(task in entries for entries in served)]

    def means(self, tasks: Sequence[str]) -> dict[str, Interval]:
        """Return the mean over tasks at the headline k, with its interval, of each method with points on all of
        them."""
        return {
            name: mean_interval(cell for task in tasks for cell in entries[task].cells())
            for name, entries in self._by_method().items()
            if tasks and entries.keys() >= set(tasks)
        }

    def gains(self, tasks: Sequence[str], baseline: str) -> dict[str, Gain]:
        """Return what each other method with points on all of the tasks gains there over a baseline; nothing where the
        baseline lacks some."""
        found = {name: of for name, of in self._by_method().items() if tasks and of.keys() >= set(tasks)}
        cells = {name: [cell for task in tasks for cell in entries[task].cells()] for name, entries in found.items()}
        base = cells.pop(baseline, None)
        return {name: gain_interval(own, base, common=True) for name, own in cells.items()} if base else {}

    def _by_method(self) -> dict[str, dict[str, Entry]]:
        """Return the entries at the headline k that have points, by method and task."""
        found: dict[str, dict[str, Entry]] = {}
        for one in self.scored:
            if one.k == self.headline_k and one.points:
                found.setdefault(one.method, {})[one.task] = one
        return found

    @property
    def not_served(self) -> set[tuple[str, str]]:
        """The (method, task) pairs that were refused at every k."""
        refused = {(one.method, one.task) for one in self.entries if isinstance(one, RefusedEntry)}
        return refused - {(one.method, one.task) for one in self.scored}
