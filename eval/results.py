"""What an evaluation found, as objects: `MethodResult`, `TaskResult`, and `Results`, which has their cells too.

Each has its JSON form (docs/results-format.md): `from_json` reads it and names what is wrong in it, `to_json` gives it
back.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from eval.cells import Cell, Refusal
from metaicl.lm.models import meant_run
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError, counted
from task_suites.core.field_types import read_object
from task_suites.core.json_files import read_json

if TYPE_CHECKING:
    import pandas

SCHEMA = 1  # of results.json
RESULTS = "results.json"
Read = TypeVar("Read")


@dataclass(frozen=True)
class MethodResult:
    """A method of the comparison.

    Attributes:
        name: its key: the method's name, or that of the run which trained it.
        label: its name in tables.
        method: its name in the registry, or `package.module:Name`.
        note: a remark for the report.
        trained: it was meta-trained before.
        folder: of a trained method.
        settings: the value of every option: its own, the model's and the prompt format's.
        provenance: "unknown" where nothing says what a trained method was trained on.
        train_seconds: what its meta-training took, where known.
        eval_seconds: of its cells, adaptation included.
        cells_done, cells_all: cells with a score, and all of the protocol.
    """

    name: str
    label: str
    method: str = ""
    note: str = ""
    trained: bool = False
    folder: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    provenance: str = "known"
    train_seconds: float | None = None
    eval_seconds: float | None = None
    cells_done: int | None = None
    cells_all: int | None = None


@dataclass(frozen=True)
class TaskResult:
    """A task of the comparison. `classes` are its labels, else the options of its first test example, else 0; `chance`
    is one over them, or None."""

    name: str
    metric: str
    type: str = ""
    family: str = ""
    classes: int = 0
    chance: float | None = None


@dataclass(frozen=True)
class Roles:
    """Which methods the report compares: the method of interest, the baseline, and a second baseline, by name."""

    method: str | None = None
    baseline: str | None = None
    also: str | None = None


@dataclass(frozen=True)
class Results:
    """All that an evaluation found.

    Attributes:
        name: of the run.
        created: local time with offset, ISO 8601.
        command: the command line that made it.
        manifest: versions, machine, code revision, suite, model and fingerprints of the tasks.
        headline_k: the largest k at which a cell was finished; the table is for it.
        seeds: the support sets' seeds.
        methods, tasks, cells, refusals: what was compared, on what, with what result.
        k: the numbers of demonstrations.
        seconds: of the whole run.
        protocol: how episodes were drawn.
        filtered: the sentence on examples and tasks that were left out, or None.
        comparison: which methods are compared first.
        notes: remarks for the report.
        folder: where the run lies; no part of `results.json`.
    """

    name: str
    created: str
    command: str
    manifest: Mapping[str, Any]
    headline_k: int
    seeds: Sequence[Any]
    methods: tuple[MethodResult, ...]
    tasks: tuple[TaskResult, ...]
    cells: tuple[Cell, ...]
    refusals: tuple[Refusal, ...] = ()
    k: Sequence[int] = field(default_factory=list)
    seconds: float | None = None
    protocol: Mapping[str, Any] = field(default_factory=dict)
    filtered: str | None = None
    comparison: Roles = Roles()
    notes: Sequence[str] = field(default_factory=list)
    folder: Path | None = field(default=None, compare=False, repr=False)

    @classmethod
    def from_json(cls, value: Any, where: Path | str = "results") -> Results:
        """Return the results that JSON holds, absent optional fields filled in; `where` is for errors.

        Raises:
            UserError: another schema, or a missing field, method, task or cell (at the headline k). The message names
                `where` and what is missing.
        """
        if isinstance(value, dict):  # null is an absent optional field
            value = {name: item for name, item in value.items() if item is not None or name not in _OPTIONAL}
        whole = read_object(cls, value, where, "the top level", "schema")
        if value["schema"] != SCHEMA:
            what, fix = "the results were written by another version of metaicl", "Evaluate again."
            raise UserError(what, where=where, found=f"schema {value['schema']}", expected=SCHEMA, fix=fix)
        methods = _items(MethodResult, whole, "methods", where)
        tasks = _items(TaskResult, whole, "tasks", where)
        cells = _items(Cell, whole, "cells", where)
        refusals = _items(Refusal, whole, "refusals", where) if whole.get("refusals") else ()
        for kind, known in (("method", {m.name for m in methods}), ("task", {t.name for t in tasks})):
            for i, cell in enumerate(cells):
                if getattr(cell, kind) not in known:
                    found = repr(getattr(cell, kind))
                    raise UserError(f"cells[{i}] names a {kind} that is not in {kind}s", where=where, found=found)
        k = whole["headline_k"]
        if not any(cell.k == k for cell in cells):
            found = f"cells at k = {sorted({cell.k for cell in cells})}"
            raise UserError(f"no cells at headline_k = {k}", where=where, found=found)
        roles = Roles(**read_object(Roles, whole.get("comparison") or {}, where, "comparison"))
        parts = {"methods": methods, "tasks": tasks, "cells": cells, "refusals": refusals, "comparison": roles}
        return cls(**{**whole, **parts})

    @classmethod
    def load(cls, folder: Path) -> Results:
        """Return the results of a finished run from its folder.

        Raises:
            UserError: there is no `results.json`, it is not JSON, or what `from_json` raises.
        """
        path = Path(folder) / RESULTS
        if not path.is_file():
            meant = meant_run(folder, RESULTS)
            fix = f"Did you mean {meant}?" if meant else "Evaluate first."
            raise UserError("no results are here", where=path, expected="the folder of a finished run", fix=fix)
        return replace(cls.from_json(read_json(path), path), folder=Path(folder))

    def to_json(self) -> dict[str, Any]:
        """Return the content of `results.json`."""
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "folder"}
        own |= {name: [asdict(item) for item in own[name]] for name in ("methods", "tasks")}
        own |= {name: [item.to_json() for item in own[name]] for name in ("cells", "refusals")}
        own["comparison"] = {role: name for role, name in asdict(self.comparison).items() if name is not None}
        return {"schema": SCHEMA, **own}

    def write(self, folder: Path) -> None:
        """Write `results.json` into a folder, whole or not at all."""
        write_text(folder / RESULTS, json.dumps(self.to_json(), ensure_ascii=False, indent=1) + "\n")

    def __repr__(self) -> str:
        """One line; `print` shows the headline table."""
        what = f"{counted(len(self.methods), 'method')} on {counted(len(self.tasks), 'task')}"
        return f"<Results of {self.name}: {what}, k {list(self.k) or self.headline_k}>"

    def __str__(self) -> str:
        """The headline table as text."""
        from eval.report.texts import table

        return table(self)

    def to_pandas(self) -> pandas.DataFrame:
        """Return a table with one row a cell: what `Cell` has, the method's label, and the reason of a refused cell."""
        import pandas

        labels = {method.name: method.label for method in self.methods}
        columns = [f.name for f in fields(Cell) if f.name not in ("predictions", "key", "scores")]
        columns += dict.fromkeys(name for cell in self.cells for name in cell.scores or ())
        both: list[Cell | Refusal] = [*self.cells, *self.refusals]
        rows = [{**item.to_json(), "label": labels.get(item.method)} for item in both]
        rows = [{**row, **row.pop("scores", {})} for row in rows]
        return pandas.DataFrame(rows, columns=[columns[0], "label", *columns[1:], "reason", "by_design"])

    def report(self, path: str | Path) -> Path:
        """Write the report as one page that loads nothing, and return its path.

        Raises:
            UserError: the run's folder is not known or gone, or the page cannot be written.
        """
        from eval.report.page import write_report_page

        if self.folder is None:
            raise UserError("these results lie in no folder", fix="Load them from one: Results.load(FOLDER).")
        return write_report_page(self.folder, Path(path))

    def cells_of(self, method: str | None, k: int | None = None) -> list[Cell]:
        """Return the cells of one method, at one k where it is given."""
        return [cell for cell in self.cells if cell.method == method and (k is None or cell.k == k)]


_OPTIONAL = {f.name for f in fields(Results) if f.default is not MISSING or f.default_factory is not MISSING}


def _items(cls: type[Read], whole: Mapping[str, Any], name: str, where: Path | str) -> tuple[Read, ...]:
    """Return the objects of a list of JSON objects, which must not be empty."""
    items = whole[name]
    if not isinstance(items, list) or not items:
        raise UserError(
            f"there are no {name}", where=where, found=repr(items)[:80], expected="a list with at least one"
        )
    return tuple(cls(**read_object(cls, item, where, f"{name}[{i}]")) for i, item in enumerate(items))
