"""What runs were and how they ended, in lines; `metaicl runs` prints them."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

from eval.results import RESULTS, Results
from metaicl.training.identity import RUN, RunRecord, as_line, differences, read_record
from metaicl.training.run import duration
from task_suites.core.columns import columns
from task_suites.core.errors import UserError, counted, nearest
from task_suites.core.line_store import LineStore

METRICS = "metrics.jsonl"  # in the folder of a training
TASK = "task."  # begins the name of a task in a run's identity, whose value is its side and its fingerprint
LARGEST = 5  # learned weights of tasks that are shown


def listed(output: Path) -> list[str]:
    """Return a row of names, and one line for each run below a folder, by name.

    Raises:
        UserError: the folder holds none.
    """
    folders = sorted(_runs_below(output))
    if not folders:
        raise UserError("the folder holds no runs", where=output, fix="Name their folder: --folder FOLDER.")
    rows = []
    for folder in folders:
        try:
            what = _in_short(folder, *_read(folder))
        except UserError as error:  # one damaged run hides no other
            what = f"cannot be read: {error}"
        rows.append((str(folder.relative_to(output)), what))
    return columns(("run", "what it was, and how it ended"), rows)


def shown(folder: Path) -> Iterator[str]:
    """Yield what a run was and how it ended: every option of a training, every method of a comparison."""
    record, results = _read(folder)
    yield f"{folder}: {_in_short(folder, record, results)}"
    if record:
        if suites := sorted({of["suite"] for of in record.data.values()}):
            yield f"  suites: {', '.join(suites)}"
        options = {name: as_line(value) for name, value in record.identity.items() if not name.startswith(TASK)}
        width = max(map(len, options))
        yield from (f"  {name:{width}}  {value}" for name, value in options.items())
        yield from _task_lines(record)
        if record.finished and (weights := record.finished.mixing_weights):
            largest = sorted(weights, key=lambda name: -weights[name])[:LARGEST]
            yield f"  largest learned weights: {', '.join(f'{name} {weights[name]:.3f}' for name in largest)}"
    if results:
        yield f"  {results.command}"
        width = max(len(method.label) for method in results.methods)
        for method in results.methods:
            scores = [cell.score for cell in results.cells_of(method.name, results.headline_k)]
            yield f"  {method.label:{width}}  {f'{100 * fmean(scores):5.1f}' if scores else 'not run'}"
        yield f"  Mean of the cells at k = {results.headline_k}, in points; report.html has the intervals."


def _task_lines(record: RunRecord) -> Iterator[str]:
    """Yield the names of a training's tasks, a paragraph for each side; run.json has their fingerprints."""
    sides: dict[str, list[str]] = {}
    for name, value in record.identity.items():
        if name.startswith(TASK):
            sides.setdefault(str(value).split()[0], []).append(name.removeprefix(TASK))
    for side, names in sides.items():
        text = f"{side}, {counted(len(names), 'task')}: {', '.join(names)}"
        yield from textwrap.wrap(text, 100, initial_indent="  ", subsequent_indent="    ", break_long_words=False)


def compared(one: Path, other: Path) -> Iterator[str]:
    """In which options two trainings differ, and how each ended.

    Raises:
        UserError: one of them is not a training.
    """
    identities = []
    for folder in (one, other):
        record = read_record(folder)
        if record is None:
            fix = f"Compare the methods of comparisons by: metaicl report {one} {other}"
            raise UserError(
                "this is not a training", where=folder, expected="a folder that `metaicl train` wrote", fix=fix
            )
        yield f"{folder}: {_in_short(folder, record, None)}"
        identities.append(record.identity)
    differing = {name: tuple(map(as_line, values)) for name, values in differences(*identities).items()}
    if differing:
        rows = [(name, *values) for name, values in differing.items()]
        yield from (f"  {line}" for line in columns(("option", "first", "second"), rows))
    else:
        yield "  The same run: no option that changes results differs."


def _runs_below(output: Path) -> Iterator[Path]:
    """Folders that hold a training or a comparison; what lies inside of a training is its own."""
    for place, inside, files in os.walk(output):
        if {RUN, RESULTS} & set(files):
            yield Path(place)
        if RUN in files:
            inside.clear()


def find(output: Path, name: str) -> Path:
    """Return the folder of a run by its name or its path.

    Raises:
        UserError: there is no such run.
    """
    for folder in (output / name, Path(name)):
        if any((folder / file).is_file() for file in (RUN, RESULTS)):
            return folder
    known = [str(folder.relative_to(output)) for folder in sorted(_runs_below(output))]
    raise UserError(
        f"no run {name!r}", where=output, fix=nearest(name, known) if known else "The folder holds no runs."
    )


def _read(folder: Path) -> tuple[RunRecord | None, Results | None]:
    """Return (the record of a training, the results of a comparison) in a folder; None for what it does not hold."""
    return read_record(folder), Results.load(folder) if (folder / RESULTS).is_file() else None


def _in_short(folder: Path, record: RunRecord | None, results: Results | None) -> str:
    """Return a run in a line."""
    if results:
        return (
            f"comparison of {counted(len(results.methods), 'method')} on {counted(len(results.tasks), 'task')}, "
            f"{results.created[:16].replace('T', ' ')}"
        )
    if record is None:
        return "no run"
    what = f"training of {record.identity['method']} on {Path(record.identity['model']).name}"
    if record.finished is None:
        return f"{what}, not finished; the same command continues it"
    best = record.finished.best_value
    score = "" if best is None else f", validation {100 * best:.1f} at step {record.finished.best_step}"
    rate = record.identity.get("learning_rate")
    learned = "" if rate is None else f", learning rate {rate:g}"
    if (loss := _last_loss(folder / METRICS)) is not None:
        learned += f", last loss {loss:.2f}"
    return f"{what}, {counted(record.finished.steps, 'step')} in {duration(record.finished.seconds)}{learned}{score}"


def _last_loss(path: Path) -> float | None:
    """Return the last loss that a training logged; None where it logged none."""
    losses = [row["loss"] for _, row in LineStore(path).read() if isinstance(row.get("loss"), int | float)]
    return losses[-1] if losses else None
