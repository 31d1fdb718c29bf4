"""`metaicl runs`: what was trained and compared, with what result, and in what two trainings differ."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from task_suites.core.errors import UserError, counted, nearest

ACTIONS = {"list": 0, "show": 1, "compare": 2}  # how many runs each names


@dataclass(frozen=True)
class Runs:
    """What was trained and compared: list, show RUN, compare RUN OTHER.

    Attributes:
        action: list the runs of a folder; show what one was and how it ended; compare the options of two trainings.
        run: a run's name below --output, or its folder.
        other: the second one, to compare.
        output: the folder of runs.
    """

    action: str
    run: str = ""
    other: str = ""
    output: Path = Path("runs")

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise UserError(f"unknown action {self.action!r}", fix=nearest(self.action, ACTIONS))
        given = bool(self.run) + bool(self.other)
        if given != ACTIONS[self.action]:
            fix = "Write: metaicl runs list, metaicl runs show RUN, or metaicl runs compare RUN OTHER."
            raise UserError(f"metaicl runs {self.action}", found=counted(given, "run"), fix=fix)


def run_runs(config: Runs) -> None:
    """Print what was asked for."""
    if config.action == "list":
        lines = listed(config.output)
    elif config.action == "show":
        lines = shown(_folder(config.output, config.run))
    else:
        lines = compared(_folder(config.output, config.run), _folder(config.output, config.other))
    print("\n".join(lines))


def listed(output: Path) -> Iterator[str]:
    """One line for each run below a folder, by name.

    Raises:
        UserError: the folder holds none.
    """
    folders = sorted(_runs_below(output))
    if not folders:
        raise UserError("no runs", where=output, fix="Name their folder: --output FOLDER.")
    names = [str(folder.relative_to(output)) for folder in folders]
    width = max(map(len, names))
    for name, folder in zip(names, folders, strict=True):
        try:
            what = _in_short(folder)
        except UserError as error:  # one damaged run hides no other
            what = f"cannot be read: {error}"
        yield f"{name:{width}}  {what}"


def shown(folder: Path) -> Iterator[str]:
    """What a run was and how it ended: every option of a training, every method of a comparison."""
    from eval.results import Results
    from metaicl.training.identity import read_record

    yield f"{folder}: {_in_short(folder)}"
    if record := read_record(folder):
        width = max(map(len, record.identity))
        yield from (f"  {name:{width}}  {_text(value)}" for name, value in record.identity.items())
    if (folder / "results.json").is_file():
        results = Results.load(folder)
        yield f"  {results.command}"
        scores = results.to_pandas()
        scores = scores[scores["k"] == results.headline_k]
        width = max(len(method.label) for method in results.methods)
        for method in results.methods:
            mean = scores[scores["method"] == method.name]["score"].mean()
            score = "not run" if mean != mean else f"{100 * mean:5.1f}"
            yield f"  {method.label:{width}}  {score}"
        yield f"  Mean of the cells at k = {results.headline_k}, in points; report.html has the intervals."


def compared(one: Path, other: Path) -> Iterator[str]:
    """In which options two trainings differ, and how each ended.

    Raises:
        UserError: one of them is no training.
    """
    from metaicl.training.identity import differences, read_record

    records = [read_record(folder) for folder in (one, other)]
    for folder, record in zip((one, other), records, strict=True):
        if record is None:
            raise UserError("not a training", where=folder, expected="a folder that `metaicl train` wrote")
        yield f"{folder}: {_in_short(folder)}"
    first, second = (record.identity for record in records if record)
    differing = {name: tuple(map(_text, values)) for name, values in differences(first, second).items()}
    widths = [max(map(len, column)) for column in zip(*((n, a) for n, (a, _) in differing.items()), strict=True)]
    for name, (a, b) in differing.items():
        yield f"  {name:{widths[0]}}  {a:{widths[1]}}  {b}"
    if not differing:
        yield "  The same run: no option that changes results differs."


def _runs_below(output: Path) -> Iterator[Path]:
    """Folders that hold a training or a comparison; what lies inside of a training is its own."""
    for place, inside, files in os.walk(output):
        if {"run.json", "results.json"} & set(files):
            yield Path(place)
        if "run.json" in files:
            inside.clear()


def _folder(output: Path, name: str) -> Path:
    """The folder of a run by its name or its path.

    Raises:
        UserError: there is no such run.
    """
    for folder in (output / name, Path(name)):
        if any((folder / file).is_file() for file in ("run.json", "results.json")):
            return folder
    known = [str(folder.relative_to(output)) for folder in sorted(_runs_below(output))]
    raise UserError(f"no run {name!r}", where=output, fix=nearest(name, known) if known else "There are none.")


def _in_short(folder: Path) -> str:
    """A run in a line."""
    from eval.results import Results
    from metaicl.training.identity import read_record
    from metaicl.training.run import duration

    if (folder / "results.json").is_file():
        results = Results.load(folder)
        return (
            f"comparison of {counted(len(results.methods), 'method')} on {counted(len(results.tasks), 'task')}, "
            f"{results.created[:16].replace('T', ' ')}"
        )
    record = read_record(folder)
    if record is None:
        raise UserError("not a run", where=folder)
    what = f"training of {record.identity['method']} on {Path(record.identity['backbone.name']).name}"
    if record.finished is None:
        return f"{what}, not finished; the same command continues it"
    best = record.finished.best_value
    score = "" if best is None else f", validation {100 * best:.1f} at step {record.finished.best_step}"
    return f"{what}, {counted(record.finished.steps, 'step')} in {duration(record.finished.seconds)}{score}"


def _text(value: object) -> str:
    """An option's value in a line: a dash where it is absent, a plain text as it is, else JSON."""
    if value is None:
        return "-"
    plain = isinstance(value, str) and value.isprintable() and value == value.strip() != ""
    return str(value) if plain else json.dumps(value, ensure_ascii=False)
