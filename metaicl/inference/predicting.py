"""What `metaicl predict` does: the answers to a file of inputs, and where they are written.

Answers are first appended to OUTPUT.partial, batch by batch, after a fingerprint of what they depend on,
so that the same command continues it and another one does not. At the end it becomes the output, whole.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from metaicl.inference.answered_rows import BATCH, Shown, answer_questions
from metaicl.inference.config import SERVER, PredictRun
from metaicl.inference.fitted import FittedMethod
from metaicl.inference.input_rows import ColumnNames, Row
from metaicl.inference.opening import MethodSource
from metaicl.inference.questions import PREFIXES, Questions, read_questions
from metaicl.training.folders import held
from task_suites.core.errors import UserError, nearest
from task_suites.core.files import STANDARD_INPUT, real, sha256
from task_suites.core.line_store import LineStore, json_line


def predicted(config: PredictRun, note: Callable[[str], None] = lambda text: None) -> Iterator[Row]:
    """Yield the answered rows, and write them where the configuration has an output.

    Raises:
        UserError: a line of a file or an option is wrong, the output exists, or another process writes it.
    """
    if config.output is None:
        source, questions, shown = _begun(config, note)
        yield from answer_questions(_fitted(config, source, questions), questions, shown)
        return
    with held(config.output, "file", "--output"):
        write = _writer(config.output, config)
        source, questions, shown = _begun(config, note)
        store = LineStore(config.output.with_name(f"{config.output.name}.partial"))
        before = _continued(store, _fingerprint(config, source, questions), config.inputs)
        yield from islice(_rows(store), before)
        if before:
            note(f"{before} answers are there already")
        new = answer_questions(_fitted(config, source, questions), questions, shown, before)
        while batch := list(islice(new, BATCH)):
            store.append(*batch)
            yield from batch
        labels = () if config.output.suffix.lower() == ".jsonl" else questions.labels
        _write_whole(write, store, config.output, labels)


def _begun(config: PredictRun, note: Callable[[str], None]) -> tuple[MethodSource, Questions, Shown]:
    """Return the method, the queries and the parts of an answer; no model is loaded yet."""
    questions = read_questions(config.demos, config.inputs, ColumnNames(config.input_column, config.output_column))
    if questions.note:
        note(questions.note)
    _check_scored(config, questions)
    form, options = questions.support[0].form, config.method_options
    source = MethodSource.chosen(config.model or None, form, config.method, config.instruction, options)
    return source, questions, Shown(config.probabilities, config.at_least, config.explain)


def _check_scored(config: PredictRun, questions: Questions) -> None:
    """Raise where probabilities of answers are requested that have none."""
    given = {"probabilities": config.probabilities, "at_least": config.at_least is not None}
    name = next((name for name, is_given in given.items() if is_given), None)
    if name and (form := questions.support[0].form) != "options":
        found = "tags" if form == "tags" else "free text as the demonstrations' answers"
        raise UserError(
            f"{name} is for answers among options", found=found, fix=questions.note or f"Leave --{name} out."
        )


def _write_whole(write: Writer, store: LineStore, output: Path, labels: tuple[str, ...]) -> None:
    """Write the stored answers to the output, whole, and delete the store."""
    scratch = store.path.with_name(f"{store.path.name}.whole")
    flat = [_flat(_rows(store), bool(labels)) for _ in range(2)]
    try:
        write(flat[0], scratch, _columns(flat[1], labels))
        os.replace(scratch, output)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        fix = f"Free space; the same command continues from {store.path}, which has all answers."
        raise UserError(f"cannot be written ({error.strerror or error})", where=output, fix=fix) from None
    store.path.unlink()


def _fitted(config: PredictRun, source: MethodSource, questions: Questions) -> FittedMethod:
    if config.engine == "vllm":
        from metaicl.inference.remote import CompletionServer, open_remote_method

        server, instructed = CompletionServer(config.server or SERVER, config.server_model), bool(config.instruction)
        method = open_remote_method(source.model, server, config.method, instructed, config.method_options)
        return FittedMethod.around(method, questions.support, questions.labels, config.instruction)
    return FittedMethod(source, questions.support, questions.labels, config.instruction)


def _rows(store: LineStore) -> Iterator[Row]:
    """Return the answered rows, without the fingerprint before them."""
    return (row for _, row in islice(store.read(), 1, None))


def _fingerprint(config: PredictRun, source: MethodSource, questions: Questions) -> str:
    given = {k: v for k, v in asdict(config).items() if k not in ("demos", "inputs", "output", "server")}
    inputs = "" if config.inputs == STANDARD_INPUT else sha256(config.inputs)
    content = [given, source.fingerprint, [asdict(e) for e in questions.support], inputs]
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def _continued(store: LineStore, fingerprint: str, inputs: Path) -> int:
    """Return how many answers the file has; a new one begins.

    Raises:
        UserError: it holds answers of another command.
    """
    first = next(store.read(), None)
    if first is None or inputs == STANDARD_INPUT:  # what came by the pipe is gone
        with suppress(OSError):  # there is none; what else is wrong, `append` says
            store.path.unlink()
        store.append({"fingerprint": fingerprint})
        return 0
    if first[1].get("fingerprint") != fingerprint:
        raise UserError(
            "the answers that are there come from another model, option or file",
            where=store.path,
            fix="Delete it, or give another --output.",
        )
    return sum(1 for _ in _rows(store))


def _flat(rows: Iterator[Row], labelled: bool) -> Iterator[Row]:
    """Yield rows with one column for each label's score, where all rows have the same labels."""
    for row in rows:
        made: Row = {}
        for name, value in row.items():
            prefix = PREFIXES.get(name) if labelled else None
            made |= {f"{prefix}{label}": number for label, number in value.items()} if prefix else {name: value}
        yield made


def _columns(rows: Iterator[Row], labels: Iterable[str]) -> dict[str, type]:
    """Return the columns of a table and their types: scores of labels are numbers, all others text."""
    names: dict[str, None] = {}
    for row in rows:
        names |= dict.fromkeys(row)
    numbers = {f"{prefix}{label}" for prefix in PREFIXES.values() for label in labels}
    return {name: float if name in numbers else str for name in names}


Writer = Callable[[Iterator[Row], Path, dict[str, type]], None]


def _writer(output: Path, config: PredictRun) -> Writer:
    """Return what writes rows in the format of a file's ending.

    Raises:
        UserError: the file exists, or its ending is not known.
    """
    if os.path.lexists(output):
        read = [real(path) for path in (config.demos, config.inputs)]
        fix = "Give another --output" + (": this file is read." if real(output) in read else ", or delete it.")
        raise UserError("the output exists already", where=output, expected="a new file", fix=fix)
    known = {".jsonl": _write_lines, ".csv": _write_csv, ".parquet": _write_parquet}
    if output.suffix.lower() not in known:
        raise UserError(f"output ends with {output.suffix or 'nothing'!r}", fix=nearest(output.suffix, known))
    return known[output.suffix.lower()]


def _write_lines(rows: Iterator[Row], path: Path, columns: dict[str, type]) -> None:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines(map(json_line, rows))


def _write_csv(rows: Iterator[Row], path: Path, columns: dict[str, type]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(columns))
        table.writeheader()
        for row in rows:
            table.writerow({name: _cell(value) for name, value in row.items()})


def _write_parquet(rows: Iterator[Row], path: Path, columns: dict[str, type]) -> None:
    """Write a table of texts, numbers and lists as JSON; the scores of labels are numbers."""
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema([(name, pa.float64() if kind is float else pa.string()) for name, kind in columns.items()])
    with parquet.ParquetWriter(path, schema) as table:
        while batch := list(islice(rows, 10 * BATCH)):
            cells = [
                {name: row.get(name) if kind is float else _cell(row.get(name)) for name, kind in columns.items()}
                for row in batch
            ]
            table.write_table(pa.Table.from_pylist(cells, schema))


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
