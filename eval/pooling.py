"""Several trainings of one recipe as one method, whose interval includes what differs between trainings."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from eval.contenders import Contender
from eval.results import MethodResult, Results
from task_suites.core.errors import UserError, counted, nearest


def pooled(results: Results, runs: Sequence[str], label: str = "") -> Results:
    """Return the results with some trained methods put together as one, at the first one's position and under its name.

    Its cells carry the name of the training that answered (`Cell.run`). `eval.report.texts.table` and `markdown` show
    it as one row. Whether the runs differ by nothing but their seed is for the caller to know.

    Args:
        results: of an evaluation that has all the runs.
        runs: the names of two or more of its trained methods, of one registry method.
        label: of the row; unset, the method's label and the number of trainings.

    Raises:
        UserError: fewer than two runs, or one of them is named twice, not in the results, not trained, or of another
            method.
    """
    methods = {method.name: method for method in results.methods}
    for name in runs:
        if name not in methods:
            raise UserError(f"no method {name!r} in the results", fix=nearest(name, methods))
    if len(runs) < 2 or len(set(runs)) < len(runs):
        raise UserError("too few trainings to put together", found=", ".join(runs) or "none", expected="two or more")
    found = [methods[name] for name in runs]
    kinds = sorted({method.method if method.trained else f"{method.name}, not trained" for method in found})
    if len(kinds) > 1 or not found[0].trained:
        fix = "Name trainings of one method."
        raise UserError("only trainings of one method can be put together", found=", ".join(kinds), fix=fix)
    one = _together(found, label or f"{found[0].label.split(' (')[0]} ({counted(len(runs), 'training')})")
    swapped = dict.fromkeys(runs, one.name)
    roles, others = results.comparison, set(runs) - {one.name}
    return replace(
        results,
        methods=tuple(one if m.name == one.name else m for m in results.methods if m.name not in others),
        cells=tuple(replace(c, method=one.name, run=c.method) if c.method in swapped else c for c in results.cells),
        refusals=tuple(replace(r, method=swapped.get(r.method, r.method)) for r in results.refusals),
        comparison=replace(
            roles,
            method=swapped.get(roles.method or "", roles.method),
            baseline=swapped.get(roles.baseline or "", roles.baseline),
            also=swapped.get(roles.also or "", roles.also),
        ),
    )


def trainings_pooled(results: Results) -> Results:
    """Return the results with all trainings of each method put together (`pooled`).

    Raises:
        UserError: no method has several trainings here.
    """
    for names in several_trainings(results.methods):
        results = pooled(results, names)
    return results


def several_trainings(methods: Iterable[MethodResult | Contender]) -> list[list[str]]:
    """Return the names of each method's trainings, of those methods that have several.

    Raises:
        UserError: there is none.
    """
    runs: dict[str, list[str]] = {}
    for method in methods:
        if method.trained:
            runs.setdefault(method.method or method.name, []).append(method.name)
    several = [names for names in runs.values() if len(names) > 1]
    if not several:
        found = ", ".join(name for names in runs.values() for name in names) or "none"
        fix = "Name several runs of one method, or leave pool_runs out."
        raise UserError("no method has several trainings to put together", found=found, fix=fix)
    return several


def _together(found: Sequence[MethodResult], label: str) -> MethodResult:
    """Return the trainings as one method: times and cells are sums, and its past is known where that of all is."""

    def total(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        return sum(known) if len(known) == len(values) else None

    return replace(
        found[0],
        label=label,
        folder=None,
        provenance="known" if all(method.provenance == "known" for method in found) else "unknown",
        train_seconds=total([method.train_seconds for method in found]),
        eval_seconds=total([method.eval_seconds for method in found]),
        cells_done=sum(method.cells_done or 0 for method in found),
        cells_all=sum(method.cells_all or 0 for method in found),
    )
