"""Several finished runs side by side: one folder that holds the methods of all, on the cells that the runs share."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.lineage import read_trainings, write_trainings
from eval.report.prompts import EXAMPLE, MISTAKES, read_example, read_mistakes, write_prompt
from eval.results import MethodResult, Results, Roles
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError, counted
from task_suites.core.files import real
from task_suites.core.json_files import read_json_lines

Names = Mapping[tuple[int, str], str]  # (number of the run, name of the method in it) -> its name beside the others
SAME = (
    "queries",
    "per_class",
    "stratified",
    "retrieval",
    "diversity",
)  # of the protocol: they decide which queries are answered


def write_joined(folders: Sequence[Path], output: Path) -> Path:
    """Write results, predictions and trainings of all runs into one folder, and return it.

    Raises:
        UserError: what `joined` raises, or `output` is one of the runs.
    """
    places = [real(folder) for folder in folders]
    if twice := next((folder for folder, place in zip(folders, places, strict=True) if places.count(place) > 1), None):
        raise UserError(f"{twice} is named twice", fix="Name each run once.")
    if real(output) in places:
        raise UserError(f"{output} is one of the runs", fix="Give the report another --output_dir.")
    runs = [Results.load(folder) for folder in folders]
    names = method_names(runs)
    results = joined(runs, names, f"metaicl report {shlex.join(map(str, folders))}")
    learned = {names[i, name]: one for i, folder in enumerate(folders) for name, one in read_trainings(folder).items()}
    results.write(output)
    write_trainings(output, learned)
    if prompt := read_example(folders[0]):
        write_prompt(output / EXAMPLE, prompt)
    if shown := read_mistakes(folders[0]):  # the method of interest is the first run's
        write_prompt(output / MISTAKES, replace(shown, method=names.get((0, shown.method), "")))
    for (i, name), new in names.items():
        _copy_predictions(folders[i] / "predictions" / f"{name}.jsonl", output, new, results)
    return output


def method_names(runs: Sequence[Results]) -> Names:
    """Return what each method is called: its own name where no other run has it, else followed by the run's."""
    named = Counter(method.name for results in runs for method in results.methods)
    again = Counter(results.name for results in runs)
    called = [r.name if again[r.name] == 1 else f"{r.name}-{i + 1}" for i, r in enumerate(runs)]
    return {
        (i, method.name): method.name if named[method.name] == 1 else f"{method.name}@{called[i]}"
        for i, results in enumerate(runs)
        for method in results.methods
    }


def joined(runs: Sequence[Results], names: Names, command: str) -> Results:
    """Return the runs as one: the tasks, support sets and numbers of demonstrations that all have.

    Where the runs differ in what may change a score, `notes` says so.

    Raises:
        UserError: one run only, or no cell that all runs could share.
    """
    if len(runs) < 2:
        raise UserError("a report on several runs needs two or more", found="one run")
    first = runs[0]
    changed = _changed(runs)
    tasks = [t for t in first.tasks if t.name not in changed and all(t.name in map(_name, r.tasks) for r in runs)]
    seeds = [seed for seed in first.seeds if all(seed in results.seeds for results in runs)]
    ks = sorted(set.intersection(*({cell.k for cell in results.cells} for results in runs)))
    if not (tasks and seeds and ks):
        missing = "task" if not tasks else "support set" if not seeds else "number of demonstrations"
        found = "; ".join(f"{r.name}: {counted(len(r.tasks), 'task')}, k {list(r.k)}" for r in runs)
        raise UserError(f"the runs have no {missing} in common", found=found, expected="the same tasks with the same k")
    kept = {task.name for task in tasks}
    both = [
        [replace(item, method=names[i, item.method]) for i, r in enumerate(runs) for item in getattr(r, kind)]
        for kind in ("cells", "refusals")
    ]
    cells, refusals = ([x for x in items if x.task in kept and x.seed in seeds and x.k in ks] for items in both)
    if not cells:
        raise UserError("the runs have no cell in common", expected="the same tasks with the same k and seeds")
    return Results(
        name=" and ".join(results.name for results in runs),
        created=max(results.created for results in runs),
        command=command,
        manifest=_manifest(runs),
        headline_k=max(cell.k for cell in cells),
        seeds=seeds,
        methods=tuple(_method(m, names[i, m.name]) for i, results in enumerate(runs) for m in results.methods),
        tasks=tuple(tasks),
        cells=tuple(cells),
        refusals=tuple(refusals),
        k=ks,
        protocol=first.protocol,
        comparison=_roles(runs, names),
        notes=_differences(runs, changed, kept) + _notes(runs),
    )


def _name(item: Any) -> str:
    return str(item.name)


def _method(method: MethodResult, name: str) -> MethodResult:
    run_name = name.removeprefix(method.name).removeprefix("@")
    label = f"{method.label} ({run_name})" if run_name else method.label
    return replace(method, name=name, label=label, cells_done=None, cells_all=None)


def _roles(runs: Sequence[Results], names: Names) -> Roles:
    """Return the first run's method of interest and baseline."""
    wanted = runs[0].comparison
    method, baseline = (names.get((0, name or "")) for name in (wanted.method, wanted.baseline))
    return Roles(method, baseline)


def _changed(runs: Sequence[Results]) -> list[str]:
    """Return the tasks whose content is known to differ between runs."""
    prints = [results.manifest.get("task_fingerprints") or {} for results in runs]
    names = {name for each in prints for name in each}
    return sorted(name for name in names if len({each[name] for each in prints if name in each}) > 1)


def _manifest(runs: Sequence[Results]) -> dict[str, Any]:
    """Return each run's manifest under its name, and what all share."""
    manifest: dict[str, Any] = {f"{i + 1}: {results.name}": results.manifest for i, results in enumerate(runs)}
    backbones = [results.manifest.get("backbone") for results in runs]
    return {"backbone": backbones[0], **manifest} if all(b == backbones[0] for b in backbones) else manifest


def _differences(runs: Sequence[Results], changed: Sequence[str], kept: set[str]) -> list[str]:
    """Return where the runs differ, as sentences."""
    notes = []
    if changed:
        notes.append(f"Left out, for their content differs between the runs: {', '.join(changed)}.")
    for results in runs:
        if other := [t.name for t in results.tasks if t.name not in kept and t.name not in changed]:
            notes.append(f"Left out, for not all runs have them: {counted(len(other), 'task')} of {results.name}.")
    for field in SAME:
        values = [results.protocol.get(field) for results in runs]
        if any(value != values[0] for value in values):
            said = ", ".join(f"{results.name} {value}" for results, value in zip(runs, values, strict=True))
            notes.append(f"The runs differ in {field}: {said}. Their queries may not be the same.")
    models = [(results.manifest.get("backbone") or {}) for results in runs]
    named = [m.get("model", "") if isinstance(m, Mapping) else str(m) for m in models]
    if len(set(named)) > 1:
        said = ", ".join(f"{r.name} on {model}" for r, model in zip(runs, named, strict=True))
        notes.append(f"The runs have different base models: {said}.")
    return notes


def _notes(runs: Sequence[Results]) -> list[str]:
    """Return what each run notes of itself."""
    return [f"{r.name}: {note}" for r in runs for note in (r.filtered, *(r.notes or ())) if note]


def _copy_predictions(path: Path, output: Path, name: str, results: Results) -> None:
    """Write one method's predictions under its new name, of the cells that are kept."""
    if not path.is_file():
        return
    kept = {(cell.task, cell.seed, cell.k) for cell in results.cells_of(name)}
    lines = [
        json.dumps({**line, "method": name}, ensure_ascii=False)
        for _, line in read_json_lines(path, None)
        if (line.get("task"), line.get("seed"), line.get("k")) in kept
    ]
    write_text(output / "predictions" / f"{name}.jsonl", "".join(line + "\n" for line in lines))
