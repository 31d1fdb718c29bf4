"""Tasks of lm-evaluation-harness (Gao et al., doi 10.5281/zenodo.5371628) in YAML, with their data beside them.

    lm-eval:FOLDER          all tasks below a folder
    lm-eval:FOLDER/x.yaml   one file; a group takes its members from the files beside it

What decides on documents, inputs, targets and choices is read as the harness reads it (docs/data.md,
"lm-evaluation-harness"); how models are prompted and scored there is passed over. `!function` is refused: no code that
comes with data is run.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import inside
from task_suites.example import Example
from task_suites.sources.cells import as_text
from task_suites.sources.dataset_rows import find_dataset
from task_suites.sources.layouts import (
    COMMON,
    Item,
    answered,
    divided,
    folder_name,
    illustrations,
    make_suite,
    one_line,
    sound,
)
from task_suites.sources.lm_eval_files import WHERE, YamlFiles
from task_suites.sources.options import split_options
from task_suites.sources.row_template import MAX_TEXT, render
from task_suites.sources.rows import FileRows, Row, Rows
from task_suites.sources.table import HEAD_KEYS, checked
from task_suites.task import Task, TaskSuite

BUILDERS = {"json": "json", "csv": "csv", "parquet": "parquet", "arrow": "arrow"}  # dataset_path -> format
DATA_KEYS: dict[str, tuple[type, ...]] = {
    "data_files": (dict, list, str),
    **dict.fromkeys(("delimiter", "sep", "data_dir", "revision"), (str,)),
    "trust_remote_code": (bool,),  # says nothing here: no code is run either way
}
CODE_KEYS = ("process_docs", "custom_dataset", "use_prompt", "doc_to_image", "doc_to_audio")
METRICS = {
    "acc": "accuracy",
    "acc_norm": "accuracy",
    "exact_match": "exact_match",
    "f1": "macro_f1",
    "rougeL": "rouge_l",
}
TEST_SHARE = 0.8  # of the documents, where one split is all there is
OURS = "metaicl"  # key in `metadata` under which task_suites/export/lm_eval.py keeps what the harness has no place for


def open_lm_eval(rest: str) -> TaskSuite:
    """The tasks in a folder or a file.

    Args:
        rest: ``FOLDER`` or ``FILE.yaml``, with ``?unsound=skip`` to leave unsound documents out and ``licence=``.

    Raises:
        UserError: a file or key is missing or wrong, includes go in a circle, a group names a task that is not there,
            or a task needs Python code. Documents are read on first use.
    """
    path, options = split_options(rest, COMMON)
    root = path if os.path.isdir(path) else path.parent
    files = YamlFiles(root)
    if os.path.isdir(path):
        configs = [files.merged(file) for file in files.all()]
        configs = [config for config in configs if "task" in config or "group" in config]
    else:
        configs = [files.merged(path)]
    tasks: dict[str, Task] = {}
    for config in configs:
        for single in files.members(config):
            task = _open_task(single, root, options)
            if task.name in tasks and os.path.isdir(path) and not isinstance(config.get("task"), list):
                raise UserError(f"the task {task.name!r} is there twice", where=single[WHERE])
            tasks.setdefault(task.name, task)
    header = files.header() if os.path.isdir(path) else {}
    name = header.get("name") or (path.stem if os.path.isfile(path) else folder_name(path))
    return make_suite(name, tasks.values(), header.get("splits"), path, header.get("description", ""))


# --- one task ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Documents:
    """How documents become examples, as the harness reads the keys of the same names.

    Attributes:
        multiple_choice: whether options are scored; else the target is free text.
        choices: `doc_to_choice`: a list, a field's name or a template that writes a list; None for none.
        tags: fields that hold tokens and tags, where task_suites/export/lm_eval.py wrote the task.
        accepted: the field that holds further right answers, likewise.
    """

    text: str
    target: Any
    multiple_choice: bool
    choices: Any = None
    tags: tuple[str, str] | None = None
    accepted: str = ""

    def example(self, row: Row, where: object) -> Example:
        """An example from one document; not checked yet.

        Raises:
            UserError: a field is missing or of a wrong type, or a template fails.
        """
        if self.tags:
            tokens, tags = (row.get(name) for name in self.tags)
            if not isinstance(tokens, list) or not isinstance(tags, list):
                raise UserError("no lists of tokens and tags", where=where, found=repr(row)[:80])
            return Example(tokens=tuple(map(str, tokens)), tags=tuple(map(str, tags)))
        text = _field_or_text(self.text, row, where)
        written = isinstance(text, int) or (self.text not in row and text.isdecimal())
        if self.choices is not None and written:  # the harness then takes doc_to_choice for inputs
            raise UserError("a choice among inputs is not read", where=where, found=f"doc_to_text gives {text}")
        text = as_text(text, where)
        target = self._target(row, where)
        if not self.multiple_choice:
            return self._free(text, target, row, where)
        options = tuple(self._options(row, where))
        if isinstance(target, list) and len(target) == 1:
            target = target[0]
        if isinstance(target, int) and not isinstance(target, bool):
            if not 0 <= target < len(options):
                raise UserError("no such choice", where=where, found=target, expected=f"0 to {len(options) - 1}")
            target = options[target]
        return Example(text, as_text(target, where), options, accepted=tuple(self._accepted(row)))

    def _target(self, row: Row, where: object) -> Any:
        """`doc_to_target`: a field as it is; what a template writes may be the number of a choice or a list."""
        target = _field_or_text(self.target, row, where)
        if not isinstance(self.target, str) or self.target in row:
            return target
        if target.isdecimal() and self.choices is not None:
            return int(target[:9])
        return _literal(target, target) if len(target) > 1 and target[0] + target[-1] == "[]" else target

    def _free(self, text: str, target: Any, row: Row, where: object) -> Example:
        if self.choices is not None and isinstance(target, int):
            options = list(self._options(row, where))
            target = options[target] if 0 <= target < len(options) else target
        answers = [as_text(t, where) for t in (target if isinstance(target, (list, tuple)) else [target])]
        return answered(text, [*answers, *self._accepted(row)])

    def _accepted(self, row: Row) -> list[str]:
        more = row.get(self.accepted) if self.accepted else None
        return list(map(str, more)) if isinstance(more, list) else []

    def _options(self, row: Row, where: object) -> list[str]:
        choices = self.choices
        if isinstance(choices, dict):
            choices = list(choices.values())
        if isinstance(choices, str):
            choices = row[choices] if choices in row else _literal(render(choices, row, where), None)
        if not isinstance(choices, (list, tuple)):
            raise UserError("doc_to_choice gives no list", where=where, found=repr(choices)[:60])
        return [as_text(choice, where) for choice in choices]


def _field_or_text(source: Any, row: Row, where: object) -> Any:
    """A field's value where the text is a field's name, else what the text gives as a template."""
    if not isinstance(source, str):
        return source
    return row[source] if source in row else render(source, row, where)


def _literal(text: str, default: Any) -> Any:
    """The Python list, text or number that a template has written; `default` where it is none."""
    if len(text) > MAX_TEXT // 10:
        return default
    try:
        return ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return default


def _open_task(config: dict[Any, Any], root: Path, options: Mapping[str, str]) -> Task:
    path: Path = config[WHERE]
    name = config["task"]
    for key in CODE_KEYS:
        if config.get(key) is not None:
            what = f"task {name}: {key} needs code or media that are not read here"
            raise UserError(what, where=path, found=repr(config[key])[:60])
    kind = config.get("output_type", "generate_until")
    if kind not in ("generate_until", "multiple_choice"):
        known = ("generate_until", "multiple_choice")
        what = f"task {name}: output_type {str(kind)[:40]!r} has no answers to learn"
        raise UserError(what, where=path, fix=nearest(str(kind)[:40], known))
    ours = _ours(config, path)
    documents = _documents(config, ours, kind == "multiple_choice", path)
    parts = _parts(config, root, path)
    labels = tuple(ours.get("labels", ())) if ours else _labels(documents)
    form_kind = "classification" if labels else "multiple_choice" if documents.multiple_choice else "generation"
    values = {key: ours[key] for key in (*HEAD_KEYS, "positive", "negative") if key in ours}
    values.setdefault("instruction", one_line(_text(config, "description", path)).strip())
    values.setdefault("source", "" if ours else _source(config, name))
    values.setdefault("family", values["source"])
    values.setdefault("licence", options["licence"])
    metric: Any = ours.get("metric") or _metric(config, documents.multiple_choice)
    task_type: Any = ours.get("type") or form_kind
    load = partial(_examples, parts, documents, labels, options, path)
    try:
        return Task(name, task_type, load, labels=labels, metric=metric, **values)
    except UserError as error:
        raise UserError(str(error), where=path) from None


def _ours(config: Mapping[Any, Any], path: Path) -> dict[str, Any]:
    metadata = config.get("metadata")
    ours = metadata.get(OURS) if isinstance(metadata, dict) else None
    if ours is None:
        return {}
    where = f"{path} (metadata.{OURS})"
    if not isinstance(ours, dict):
        raise UserError("not a mapping", where=where, found=repr(ours)[:60])
    texts = ("type", "metric", *HEAD_KEYS, "input", "accepted")
    lists = ("labels", "tags", "positive", "negative")
    given = checked(ours, {**dict.fromkeys(texts, (str,)), **dict.fromkeys(lists, (list,))}, where)
    for key in {"positive", "negative"} & given.keys():
        given[key] = illustrations(given[key], key, where)
    for key in ("labels", "tags"):
        if not all(isinstance(item, str) for item in given.get(key, [])) or (
            key == "tags" and len(given.get(key, "--")) != 2
        ):
            raise UserError(f"{key} has a wrong value", where=where, found=repr(given[key])[:60], expected="texts")
    return given


def _documents(config: Mapping[Any, Any], ours: Mapping[str, Any], choice: bool, path: Path) -> _Documents:
    for key, kinds in (
        ("doc_to_text", (str,)),
        ("doc_to_target", (str, int, list)),
        ("doc_to_choice", (str, list, dict)),
    ):
        value = config.get(key)
        if not isinstance(value, kinds) and not (value is None and key == "doc_to_choice" and not choice):
            what = f"{key} is missing" if value is None else f"{key} has a wrong type"
            raise UserError(
                what, where=path, found=None if value is None else repr(value)[:60], expected="a template or a field"
            )
    few = config.get("fewshot_config") or {}
    for key in few if isinstance(few, dict) else ():
        if str(key).startswith("doc_to_"):
            raise UserError(f"fewshot_config.{key}: demonstrations of another form are not read", where=path)
    tags = tuple(ours["tags"]) if "tags" in ours else None
    return _Documents(
        ours.get("input", config["doc_to_text"]),
        config["doc_to_target"],
        choice,
        config.get("doc_to_choice"),
        tags,  # type: ignore[arg-type]
        ours.get("accepted", ""),
    )


def _labels(documents: _Documents) -> tuple[str, ...]:
    """The choices, where they are a plain list."""
    choices = documents.choices
    choices = list(choices.values()) if isinstance(choices, dict) else choices
    fixed = documents.multiple_choice and isinstance(choices, list)
    return tuple(as_text(choice, "doc_to_choice") for choice in choices) if fixed else ()


def _metric(config: Mapping[Any, Any], choice: bool) -> str:
    """The first metric of `metric_list` that fits, else the usual one."""
    entries = config.get("metric_list")
    names = [str(e.get("metric")) for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
    fitting = ("acc", "acc_norm", "f1") if choice else ("exact_match", "rougeL")
    return next((METRICS[n] for n in names if n in fitting), "accuracy" if choice else "exact_match")


def _source(config: Mapping[Any, Any], name: str) -> str:
    path, config_name = config.get("dataset_path"), config.get("dataset_name")
    if path in BUILDERS or not isinstance(path, str):
        return str(name)
    return path + (f" ({config_name})" if isinstance(config_name, str) else "")


def _text(config: Mapping[Any, Any], key: str, path: Path) -> str:
    value = config.get(key)
    if value is not None and not isinstance(value, str):
        raise UserError(f"{key} has a wrong type", where=path, found=repr(value)[:60], expected="text")
    return value or ""


# --- data -------------------------------------------------------------------------------------------------------------


def _parts(config: Mapping[Any, Any], root: Path, path: Path) -> dict[str, Rows]:
    """ "test" and, where demonstrations come from another split, "train" -> documents."""
    splits = {
        key: _text(config, key, path) for key in ("training_split", "validation_split", "test_split", "fewshot_split")
    }
    test = splits["test_split"] or splits["validation_split"]
    train = splits["fewshot_split"] or splits["training_split"] or splits["validation_split"]
    if not test:
        raise UserError("neither test_split nor validation_split is named", where=path)
    few = config.get("fewshot_config")
    samples = few.get("samples") if isinstance(few, dict) else None
    names = {"test": test} if train in ("", test) or samples is not None else {"test": test, "train": train}
    parts = _rows(config, root, path, names)
    if samples is not None:
        if not isinstance(samples, list) or not all(isinstance(row, dict) for row in samples):
            found = repr(samples)[:60]
            raise UserError(
                "fewshot_config.samples has a wrong type", where=path, found=found, expected="a list of documents"
            )
        parts["train"] = _Given(tuple(samples), f"{path} (fewshot_config.samples)")
    return parts


@dataclass(frozen=True)
class _Given:
    """Documents that are written in the YAML file itself."""

    rows: tuple[Row, ...]
    where: str

    def read(self, columns: object = None) -> Iterator[tuple[object, Row]]:
        return ((f"{self.where}: item {number}", row) for number, row in enumerate(self.rows, 1))

    def class_names(self, column: str) -> tuple[str, ...]:
        return ()


def _rows(config: Mapping[Any, Any], root: Path, path: Path, names: Mapping[str, str]) -> dict[str, Rows]:
    """Our part -> the documents of its split."""
    kwargs = config.get("dataset_kwargs") or {}
    if not isinstance(kwargs, dict):
        raise UserError("dataset_kwargs has a wrong type", where=path, found=repr(kwargs)[:60], expected="a mapping")
    kwargs = checked(kwargs, DATA_KEYS, f"{path} (dataset_kwargs)")
    source = _text(config, "dataset_path", path)
    if source not in BUILDERS:
        keys = {"path": source, "train": names.get("train", names["test"]), "test": names["test"]}
        keys |= {"config": config["dataset_name"]} if config.get("dataset_name") else {}
        keys |= {"revision": kwargs["revision"]} if "revision" in kwargs else {}
        if not source or not isinstance(keys.get("config", ""), str) or "data_files" in kwargs:
            expected = f"dataset_path of {', '.join(BUILDERS)} with data_files, or a data set's name"
            raise UserError("which data?", where=path, found=repr(source)[:60], expected=expected)
        found = find_dataset(keys, path.parent, path).parts
        return {part: found[part] for part in names}
    files = kwargs.get("data_files")
    files = files if isinstance(files, dict) else {"train": files}
    parts: dict[str, Rows] = {}
    for part, split in names.items():
        listed: Any = files.get(split)
        listed = [listed] if isinstance(listed, str) else listed
        if not isinstance(listed, list) or not listed or not all(isinstance(f, str) and f for f in listed):
            where = f"{path} (dataset_kwargs.data_files)"
            raise UserError(
                f"no files of the split {split[:60]!r}", where=where, fix=nearest(split[:60], map(str, files))
            )
        base = kwargs.get("data_dir", "")
        paths = tuple(_found(os.path.join(base, name), root, path) for name in listed)
        delimiter = kwargs.get("delimiter", kwargs.get("sep", ","))
        if len(delimiter) != 1:
            raise UserError("delimiter is not a single sign", where=path, found=repr(delimiter[:20]))
        parts[part] = FileRows(paths, BUILDERS[source], delimiter=delimiter)
    return parts


def _found(name: str, root: Path, path: Path) -> Path:
    """A data file by its name in a YAML file, which may be relative to that file or to a folder above it.

    The harness takes it from the working folder, which is somewhere above as a rule. Only what lies in the suite's
    folder is looked at.

    Raises:
        UserError: no such file within the folder.
    """
    top = root.resolve()
    beside = path.parent.resolve()
    for base in (beside, *beside.parents):
        place = Path(os.path.normpath(base / name)) if "\0" not in name else base
        if place.is_relative_to(top) and os.path.isfile(file := inside(root, place.relative_to(top))):
            return file
    raise UserError("no such data file", where=path, found=repr(name[:80]), expected=f"a file within {root}")


def _examples(
    parts: Mapping[str, Rows],
    documents: _Documents,
    labels: tuple[str, ...],
    options: Mapping[str, str],
    path: Path,
    split: str,
) -> list[Example]:
    def items(part: str) -> Iterator[Item]:
        return ((where, documents.example(row, where)) for where, row in parts[part].read())

    if "train" in parts:
        return sound(items(split), labels, options, path)
    return divided(sound(items("test"), labels, options, path), TEST_SHARE, path)[split]
