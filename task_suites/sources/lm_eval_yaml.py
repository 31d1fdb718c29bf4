"""Tasks of lm-evaluation-harness (Gao et al., doi 10.5281/zenodo.5371628) in YAML, with their data beside them.

    lm-eval:FOLDER          all tasks below a folder
    lm-eval:FOLDER/x.yaml   one file; a group takes its members from the files beside it

What decides on documents, inputs, targets and choices is read as the harness reads it (docs/data.md,
"lm-evaluation-harness"); how models are prompted and scored there is passed over. `!function` is refused: no code that
comes with data is run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.example import Example
from task_suites.sources.layouts import (
    COMMON,
    Item,
    divided,
    folder_name,
    illustrations,
    make_suite,
    one_line,
    sound,
)
from task_suites.sources.lm_eval_data import BUILDERS, parts_of, text_of
from task_suites.sources.lm_eval_documents import Documents, documents_of
from task_suites.sources.lm_eval_files import WHERE, YamlFiles
from task_suites.sources.options import split_options
from task_suites.sources.rows import Rows
from task_suites.sources.table import HEAD_KEYS, checked
from task_suites.task import Task, TaskSuite

CODE_KEYS = ("process_docs", "custom_dataset", "use_prompt", "doc_to_image", "doc_to_audio")
METRICS = {
    "acc": "accuracy",
    "acc_norm": "accuracy",
    "exact_match": "exact_match",
    "f1": "macro_f1",
    "rougeL": "rouge_l",
}
TEST_SHARE = 0.8  # of the documents, where one split is all there is
OURS = "metaicl"  # key in `metadata` under which task_suites/export/lm_eval.py writes what the harness has no key for


def open_lm_eval(rest: str) -> TaskSuite:
    """Open the tasks in a folder or a file.

    Args:
        rest: ``FOLDER`` or ``FILE.yaml``, with ``?unsound=skip`` to leave unsound documents out and ``licence=``.

    Raises:
        UserError: a file or key is missing or wrong, the includes form a circle, a group names an unknown task, or a
            task needs Python code. Documents are read on first use.
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
                raise UserError(
                    f"there are two tasks named {task.name!r}", where=single[WHERE], fix="Rename one of them."
                )
            tasks.setdefault(task.name, task)
    header = files.header() if os.path.isdir(path) else {}
    name = header.get("name") or (path.stem if os.path.isfile(path) else folder_name(path))
    return make_suite(name, tasks.values(), header.get("splits"), path, header.get("description", ""))


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
    documents = documents_of(config, ours, kind == "multiple_choice", path)
    parts = parts_of(config, root, path)
    labels = tuple(ours.get("labels", ())) if ours else documents.labels()
    form_kind = "classification" if labels else "multiple_choice" if documents.multiple_choice else "generation"
    values = {key: ours[key] for key in (*HEAD_KEYS, "positive", "negative") if key in ours}
    values.setdefault("instruction", one_line(text_of(config, "description", path)).strip())
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


def _metric(config: Mapping[Any, Any], choice: bool) -> str:
    """Return the first metric of `metric_list` that fits, else the usual one."""
    entries = config.get("metric_list")
    names = [str(e.get("metric")) for e in entries if isinstance(e, dict)] if isinstance(entries, list) else []
    fitting = ("acc", "acc_norm", "f1") if choice else ("exact_match", "rougeL")
    return next((METRICS[n] for n in names if n in fitting), "accuracy" if choice else "exact_match")


def _source(config: Mapping[Any, Any], name: str) -> str:
    path, config_name = config.get("dataset_path"), config.get("dataset_name")
    if path in BUILDERS or not isinstance(path, str):
        return str(name)
    return path + (f" ({config_name})" if isinstance(config_name, str) else "")


def _examples(
    parts: Mapping[str, Rows],
    documents: Documents,
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
