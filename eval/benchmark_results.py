"""What the map of methods found, as objects: a `Place` is a method on a task at one k; `MapResults` are all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from eval.results import as_object, read_object
from task_suites.core.errors import UserError
from task_suites.core.json_files import read_json
from task_suites.core.line_store import LOST, LineStore

SCHEMA = 3  # of map.json
LEDGER = "map.jsonl"  # in a map's folder: one line for each place that is filled


@dataclass(frozen=True)
class Place:
    """One method on one task at one k, over all support sets that could be answered.

    Attributes:
        method, task, k: which place.
        score, low, high: mean score in points with its 95 % interval.
        seeds: support sets that were answered.
        key: a hash of what it depends on.
        queries: answered over all of them.
        adapt_seconds, query_seconds: of adapting to a support set and of one query; None where not known.
        ece, brier: calibration, where the answers have scores.
        train_seconds, steps: of the meta-training.
        machine: what it was measured on.
        refused_seeds: the reasons of the support sets that were refused, by seed.
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

    def to_json(self) -> dict[str, Any]:
        """The place as a JSON object, without what is None."""
        return as_object(self)


@dataclass(frozen=True)
class RefusedPlace:
    """One method on one task at one k, where every support set was refused; `refused` is the reason, `steps`
    are those of the meta-training."""

    method: str
    task: str
    k: int
    refused: str
    key: str = ""
    steps: int | None = None
    machine: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The place as a JSON object."""
        return as_object(self)


def place(value: Any, where: Path | str) -> Place | RefusedPlace:
    """Return the place that a JSON object holds.

    Raises:
        UserError: it lacks a field.
    """
    refused = isinstance(value, dict) and "refused" in value
    if refused:
        return RefusedPlace(**read_object(RefusedPlace, value, where, "the place"))
    return Place(**read_object(Place, value, where, "the place"))


class Ledger:
    """The file of filled places, one JSON line each, by key."""

    def __init__(self, path: Path):
        self.store = LineStore(path)
        self.places: dict[str, Place | RefusedPlace] = {}
        for where, line in self.store.read():
            if "key" not in line:
                raise UserError("not a line of a map", where=where, found=f"keys {sorted(line)[:8]}", fix=LOST)
            self.places[line["key"]] = place(line, where)

    def append(self, one: Place | RefusedPlace) -> None:
        self.places[one.key] = one
        self.store.append(one.to_json())


@dataclass(frozen=True)
class MapResults:
    """All filled places of a map.

    Attributes:
        name, created, command, manifest, protocol, filtered, notes: as in `eval.results.Results`.
        applications: the tasks of each application, by its name.
        budget_seconds: what each meta-training was allowed.
        methods: the rows, by name.
        cells: the filled places, those that were refused among them.
    """

    name: str
    created: str
    command: str
    manifest: Mapping[str, Any]
    protocol: Mapping[str, Any]
    applications: Mapping[str, Sequence[str]]
    budget_seconds: float
    methods: Sequence[str]
    cells: tuple[Place | RefusedPlace, ...]
    filtered: str | None = None
    notes: Sequence[str] = field(default=())

    @classmethod
    def load(cls, path: Path) -> MapResults:
        """Return the map in a file, with the places that it names by their keys; these lie in the ledger beside it.

        Raises:
            UserError: there is no such file, it is of another version, or a place is not in the ledger.
        """
        if not path.is_file():
            raise UserError("no map", where=path, fix="Run metaicl map first.")
        value = read_json(path)
        own = read_object(cls, value, path, "the top level", "schema")
        if value["schema"] != SCHEMA:
            fix = "Run metaicl map again; what is filled is kept."
            raise UserError("a map of another version", where=path, fix=fix)
        places = Ledger(path.with_name(LEDGER)).places
        if lost := [key for key in own["cells"] if key not in places]:
            fix = "Run metaicl map again; what is filled is kept."
            raise UserError(f"{len(lost)} of the map's places are not in {LEDGER}", where=path, found=lost[0], fix=fix)
        return cls(**{**own, "cells": tuple(places[key] for key in own["cells"])})

    def to_json(self) -> dict[str, Any]:
        """The content of `map.json`: of each place the key by which the ledger has it."""
        own = {f.name: getattr(self, f.name) for f in fields(self)}
        return {"schema": SCHEMA, **own, "cells": [one.key for one in self.cells]}

    @property
    def headline_k(self) -> int:
        """The largest k."""
        return int(max(self.protocol["k"]))

    @property
    def scored(self) -> list[Place]:
        """The places that have a score."""
        return [one for one in self.cells if isinstance(one, Place)]

    @property
    def not_served(self) -> set[tuple[str, str]]:
        """The (method, task) pairs that were refused at every k."""
        refused = {(one.method, one.task) for one in self.cells if isinstance(one, RefusedPlace)}
        return refused - {(one.method, one.task) for one in self.scored}
