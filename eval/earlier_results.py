"""Results that a folder holds already: another comparison is not to replace them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from eval.cells import Cell, Refusal
from eval.contenders import Contender
from eval.harness import CELLS, Comparison
from eval.results import RESULTS, Results
from metaicl.training.folders import set_aside
from metaicl.training.identity import FREE, table
from task_suites.core.errors import UserError
from task_suites.core.values import plain

OF_A_COMPARISON = (RESULTS, CELLS, "config.yaml")  # a folder with one of them is not free
GROWING = ("k", "seeds", "curve_seeds")  # options of the protocol that say how many cells there are
WAYS_OUT = "Give this comparison another --output_dir, or add --no-resume: that moves the folder aside"


def begin_again(folder: Path) -> str:
    """Move what an earlier comparison left in the folder aside, and return a line that says so; empty for a free
    folder."""
    if not any((folder / name).exists() for name in OF_A_COMPARISON):
        return ""
    return f"The earlier content of {folder} is now in {set_aside(folder)}"


def check_replaced(comparison: Comparison, contenders: Sequence[Contender]) -> None:
    """Raise where the comparison's folder holds results that the comparison will not hold again.

    More methods, tasks, support sets or numbers of demonstrations are welcome: all that was there stays.

    Raises:
        UserError: the results there are of another comparison; the message has the options that differ.
    """
    path = comparison.folder / RESULTS
    if not path.is_file():
        return
    try:
        then = Results.load(comparison.folder)
    except UserError as error:
        raise UserError(f"{error}. {WAYS_OUT}.") from None
    if lost := {**_cells(then, comparison, contenders), **_settings(then, comparison, contenders)}:
        what = f"{comparison.folder} holds the results of another comparison, which this one would replace:"
        raise UserError(f"{what}\n{table(lost)}\n{WAYS_OUT}.")


def _cells(then: Results, comparison: Comparison, contenders: Sequence[Contender]) -> dict[str, tuple[Any, Any]]:
    """Return option -> (then, now) of what the cells are counted by, where some of the earlier cells are lost."""
    before = [(getattr(cell, "run", None) or cell.method, cell.task, cell.seed, cell.k) for cell in _answered(then)]
    now = [(made.name, t.name, seed, k) for made in contenders for t, seed, k in comparison.plan(made)]
    if set(before) <= set(now):
        return {}
    found: dict[str, tuple[Any, Any]] = {}
    for index, name in enumerate(("methods", "tasks", "seeds", "k")):
        was, has = ([*dict.fromkeys(cell[index] for cell in cells)] for cells in (before, now))
        if set(was) - set(has):
            found[name] = (len(was), len(has)) if name == "seeds" else (_listed(was), _listed(has))
    return found or {"curve_seeds": (then.protocol.get("curve_seeds"), comparison.protocol.curve_seeds)}


def _answered(results: Results) -> tuple[Cell | Refusal, ...]:
    return (*results.cells, *results.refusals)


def _settings(then: Results, comparison: Comparison, contenders: Sequence[Contender]) -> dict[str, tuple[Any, Any]]:
    """Return option -> (then, now) of the protocol and of each method that both have, where the values differ."""
    pairs = [("", then.protocol, asdict(comparison.protocol))]
    known = {made.name: made for made in contenders}
    for method in then.methods:
        if method.name in known:
            pairs.append((f"{method.name}: ", method.settings, plain(dict(known[method.name].settings))))
    return {f"{head}{name}": values for head, was, now in pairs for name, values in _differing(was, now).items()}


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the options that both have, each with its two values, where these differ; those of a section with its
    name before theirs."""
    found: dict[str, tuple[Any, Any]] = {}
    now = json.loads(json.dumps(now))  # as the file has it
    for name in [name for name in now if name in then and name not in (*FREE, *GROWING)]:
        if isinstance(then[name], dict) and isinstance(now[name], dict):
            below = _differing(then[name], now[name])
            found |= {f"{name}.{inner}": values for inner, values in below.items()}
        elif then[name] != now[name]:
            found[name] = (then[name], now[name])
    return found


def _listed(names: Iterable[Any]) -> str:
    return " ".join(map(str, names))
