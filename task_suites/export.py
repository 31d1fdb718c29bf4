"""A suite written for other people's tools: MetaICL's folders, lm-evaluation-harness's YAML, Parquet for `datasets`; or
for ours: folders to edit by hand, one Arrow file for what is larger than memory.

    metaicl     data/<task>/<task>_<k>_<seed>_<split>.jsonl, config/suite.json, config/tasks/<task>.json
    lm-eval     <task>/<task>.yaml with train.jsonl and test.jsonl, suite.json
    datasets    <task>/train.parquet and test.parquet, README.md for `load_dataset`, tables.yaml for our own source
    local       <task>/task.yaml, train.jsonl and test.jsonl, suite.yaml (docs/data.md)
    arrow       suite.json and examples.arrow (task_suites/store.py)

What is written opens again, by the sources of the same names, as the same examples in the same order, and so gives the
same episodes. A layout that cannot hold a task refuses it before anything is written. A folder is written whole or not
at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from task_suites.core.atomic import check_free, new_folder, write_lines, write_yaml
from task_suites.core.errors import UserError, counted, nearest
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources.layouts import answered
from task_suites.store import fill_store
from task_suites.task import META_SPLITS, Example, Task, TaskSuite

PARTS = ("train", "test")
HEAD = ("instruction", "description", "domain", "source", "licence", "family")
_FILE_NAME = re.compile(r"[\w-][\w.,:+@() -]{0,120}")
TRAIN_K, TARGET_K = 16384, 16  # MetaICL's defaults for meta-training and target tasks
SEEDS = (100, 13, 21, 42, 87)  # of MetaICL's target tasks


def export(suite: TaskSuite, to: str, output: Path) -> str:
    """Write a suite and say how it is opened again.

    Args:
        to: a key of `WRITERS`.
        output: a folder that does not exist or is empty.

    Returns:
        The suite's name for `open_suite`, with the options that give the same examples.

    Raises:
        UserError: an unknown layout, a folder that is not empty, or tasks that the layout cannot hold.
    """
    if to not in WRITERS:
        raise UserError(f"unknown layout {to!r}", fix=nearest(to, WRITERS))
    check_free(output)
    if not suite.tasks:
        raise UserError(f"suite {suite.name}: no task is left to export")
    check(suite, to)
    with new_folder(output) as draft:
        opened = WRITERS[to].write(suite, draft)
    return opened.format(output)


def check(suite: TaskSuite, to: str) -> None:
    """Raise a `UserError` where a layout cannot hold a task, or its name."""
    writer = WRITERS[to]
    problems = [f"{task.name}: {wrong}" for task in suite.tasks.values() if (wrong := writer.problem(task))]
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise UserError(
            f"the layout {to} cannot hold {'; '.join(problems[:5])}{more}",
            fix="Choose another layout, or leave them out (--suite.exclude, --suite.forms).",
        )
    for name in suite.tasks if writer.folders else ():
        if not _FILE_NAME.fullmatch(name):
            raise UserError(
                f"{name!r} is not a name of a file", expected="letters, digits, blanks and - _ . , : + @ ( )"
            )
    if writer.folders and len({_folder(name).casefold() for name in suite.tasks}) < len(suite.tasks):
        raise UserError("names of tasks differ only in case or signs", found=sorted(suite.tasks)[:20])


def _folder(name: str) -> str:
    """A task's name as that of a folder which `datasets` finds, and as that of a config there: `a:b` as `a.b`."""
    return name.replace(":", ".")


def export_suite(suite: TaskSuite, to: str, output: Path | None) -> str:
    """Export a suite, and return what `metaicl suites export` prints: how the exported suite is opened.

    Raises:
        UserError: no output is named; or see `export`.
    """
    if output is None:
        raise UserError("suites export wants a folder", fix="Name a new one: --output FOLDER.")
    opened = export(suite, to, output)
    return f"{output} holds {counted(len(suite.tasks), 'task')} and opens as --suite '{opened}'"


def _json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _examples(task: Task) -> list[Example]:
    return [e for part in PARTS for e in task.examples(part)]


def _head(task: Task) -> dict[str, Any]:
    """What the other layouts have no place for."""
    values = {"type": task.type, "metric": task.metric, **{key: getattr(task, key) for key in HEAD}}
    for key in ("positive", "negative"):
        values[key] = [asdict(illustration) for illustration in getattr(task, key)]
    return {key: value for key, value in values.items() if value or key == "family"}


def _none(task: Task) -> str | None:
    """Nothing: the layout holds whatever a task may be."""
    return None


def _text_problem(task: Task) -> str | None:
    """Free answers that a reader would write otherwise."""
    if task.form == "text" and any(answered(e.input, [e.output or "", *e.accepted]) != e for e in _examples(task)):
        return "answers that repeat or have line breaks"
    return None


# --- MetaICL ----------------------------------------------------------------------------------------------------------


def _metaicl_problem(task: Task) -> str | None:
    if task.form == "tags":
        return "tags (MetaICL has options and free text)"
    examples = _examples(task)
    if _several(task):
        return "further right answers"
    if task.labels and any(e.options != task.labels for e in examples):
        return "options that differ from the task's labels"
    return _text_problem(task)


def _metaicl(suite: TaskSuite, folder: Path) -> str:
    """All items at (k, seed) = (16384, 100); besides, 16 shots at MetaICL's five seeds for tasks not trained on.

    16384 is a cap in MetaICL and only a name here: no item is left out. MetaICL knows two sides; tasks for
    meta-validation are the targets of a setting of their own.
    """
    from task_suites.episodes import EpisodeSampler

    trained = {task.name for task in suite.split("meta_train")}
    for task in suite.tasks.values():
        home = folder / "data" / task.name
        kind = "classification" if task.labels else "multi-choice" if task.form == "options" else "free-form"
        _json(folder / "config/tasks" / f"{task.name}.json", {"task_type": kind, "options": list(task.labels) or None})
        parts = {part: [_metaicl_row(task.name, e) for e in task.examples(part)] for part in PARTS}
        for part in PARTS:
            write_lines(home / f"{task.name}_{TRAIN_K}_100_{part}.jsonl", parts[part])
        if task.name in trained or len({e.content for e in task.examples("train")}) < TARGET_K:
            continue
        for seed in SEEDS:
            shots = EpisodeSampler(seed, TARGET_K, 1, balance="natural").draw(task, "test", 0).support
            write_lines(
                home / f"{task.name}_{TARGET_K}_{seed}_train.jsonl", [_metaicl_row(task.name, e) for e in shots]
            )
            write_lines(home / f"{task.name}_{TARGET_K}_{seed}_test.jsonl", parts["test"])
    sides = {side: [task.name for task in suite.split(side)] for side in META_SPLITS}
    _json(folder / "config/suite.json", {"train": sides["meta_train"], "test": sides["meta_test"]})
    if sides["meta_validation"]:
        _json(folder / "config/validation.json", {"train": sides["meta_train"], "test": sides["meta_validation"]})
    return f"metaicl:{{}}?setting=suite&k={TRAIN_K}&seed=100&overlap=allow"  # sides are as the suite has them


def _metaicl_row(name: str, example: Example) -> dict[str, Any]:
    return {
        "task": name,
        "input": example.input,
        "output": example.output,
        "options": list(example.options or ()),
    }


# --- lm-evaluation-harness --------------------------------------------------------------------------------------------


def _lm_eval(suite: TaskSuite, folder: Path) -> str:
    """One YAML and two JSON-lines files a task; a tag for each side of the split, such as `embedded_meta_test`.

    Data files are named relative to the folder: the harness is run in it.
    """
    for task in suite.tasks.values():
        home = folder / _folder(task.name)
        several = _several(task)
        for part in PARTS:
            write_lines(home / f"{part}.jsonl", (_document(e, several) for e in task.examples(part)))
        write_yaml(
            home / f"{home.name}.yaml",
            {
                **_lm_eval_config(task),
                "tag": [f"{suite.name}_{side}" for side in suite.splits if task in suite.split(side)],
            },
        )
    _json(folder / "suite.json", _header(suite))
    return "lm-eval:{}"


def _header(suite: TaskSuite) -> dict[str, Any]:
    return {
        "name": suite.name,
        "description": suite.description,
        "splits": {side: list(names) for side, names in suite.splits.items()},
    }


def _several(task: Task) -> bool:
    """Whether an example has more right answers than one."""
    return any(e.accepted for e in _examples(task))


def _document(example: Example, several: bool) -> dict[str, Any]:
    """A row that holds the example and, beside it, its answer as the harness wants it."""
    if example.tokens is not None:
        text = PromptFormat().answer_text(example)
        return {"input": example.text, "output": text, "tokens": list(example.tokens), "tags": list(example.tags or ())}
    row: dict[str, Any] = {"input": example.input, "output": example.output}
    if example.options is not None:
        row |= {"options": list(example.options), "label": example.options.index(example.output or "")}
    return {**row, "accepted": list(example.accepted)} if several else row


def _lm_eval_config(task: Task) -> dict[str, Any]:
    ours: dict[str, Any] = {**_head(task), "input": "input", "labels": list(task.labels)}
    data = {part: f"{_folder(task.name)}/{part}.jsonl" for part in PARTS}
    config: dict[str, Any] = {
        "task": task.name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": data},
        "training_split": "train",
        "fewshot_split": "train",
        "test_split": "test",
        "description": _escaped(task.instruction) + "\n\n" if task.instruction else "",
        "doc_to_text": "{{input}}\nAnswer:",
        "target_delimiter": " ",
        "fewshot_delimiter": "\n\n",
    }
    ours |= {"tags": ["tokens", "tags"]} if task.form == "tags" else {}
    ours |= {"accepted": "accepted"} if _several(task) else {}
    if task.form == "options":
        same = bool(task.labels) and all(e.options == task.labels for e in _examples(task))
        config |= {"output_type": "multiple_choice", "doc_to_target": "label"}
        config["doc_to_choice"] = list(task.labels) if same else "options"
        config["metric_list"] = [_metric("acc"), _metric("acc_norm")]
    else:
        config |= {"output_type": "generate_until", "doc_to_target": "output"}
        config["generation_kwargs"] = {"until": ["\n"], "do_sample": False}
        config["metric_list"] = [
            {**_metric("exact_match"), "ignore_case": True, "ignore_punctuation": task.form == "text"}
        ]
    return {**config, "metadata": {"version": 1.0, "metaicl": ours}}


def _metric(name: str) -> dict[str, Any]:
    return {"metric": name, "aggregation": "mean", "higher_is_better": True}


def _escaped(text: str) -> str:
    """Text that a Jinja template gives back as it is: the harness takes descriptions for templates."""
    return "{% raw %}" + text + "{% endraw %}" if re.search(r"\{[{%#]", text) else text


# --- datasets ---------------------------------------------------------------------------------------------------------


def _datasets(suite: TaskSuite, folder: Path) -> str:
    """Parquet with class names in its schema; a README.md whose head makes each task a config of `load_dataset`."""
    tables: dict[str, Any] = {}
    configs = []
    for task in suite.tasks.values():
        name = _folder(task.name)
        home = folder / name
        home.mkdir()
        columns = _columns(task)
        for part in PARTS:
            _parquet(home / f"{part}.parquet", task, task.examples(part), columns)
        files = {part: f"{name}/{part}.parquet" for part in PARTS}
        tables[task.name] = {**_head(task), **files, **columns}
        configs.append({"config_name": name, "data_files": [{"split": p, "path": f} for p, f in files.items()]})
    write_yaml(folder / "tables.yaml", {**_header(suite), "tasks": tables})
    card = yaml.safe_dump({"configs": configs}, sort_keys=False, allow_unicode=True)
    body = f"# {suite.name}\n\n{suite.description}\n"
    (folder / "README.md").write_text(f"---\n{card}---\n{body}", encoding="utf-8")
    return "table:{}"


def _columns(task: Task) -> dict[str, Any]:
    """The keys of a table YAML that say what the columns are."""
    labels = {"labels": list(task.labels)} if task.labels else {}
    if task.form == "tags":
        return {"tokens": "tokens", "tags": "tags", **labels}
    columns: dict[str, Any] = {"input": "input", "output": "output", **labels}
    if _several(task):
        columns["accepted"] = "accepted"
    if task.form == "text":
        return columns
    own = any(e.options != task.labels for e in _examples(task))
    return {**columns, "options": "options"} if own else columns


def _parquet(path: Path, task: Task, examples: Iterable[Example], columns: Mapping[str, Any]) -> None:
    from datasets import ClassLabel, Dataset, Features, List, Value

    text = Value("string")
    features: dict[str, Any] = {"input": text, "output": text}
    if task.form == "tags":
        features = {"tokens": List(text), "tags": List(text)}
    else:
        features |= {name: List(text) for name in ("options", "accepted") if name in columns}
        if task.form == "options" and "options" not in columns:
            features["output"] = ClassLabel(names=list(task.labels))
    values: dict[str, list[Any]] = {
        name: [list(v) if isinstance(v := getattr(e, name), tuple) else v for e in examples] for name in features
    }
    if isinstance(features.get("output"), ClassLabel):
        values["output"] = [task.labels.index(answer) for answer in values["output"]]
    table = Dataset.from_dict(values, features=Features(features)).with_format("arrow")[:]
    from pyarrow import parquet

    parquet.write_table(table, path)  # `Dataset.to_parquet` would draw a progress bar


# --- our own ----------------------------------------------------------------------------------------------------------


def _local_problem(task: Task) -> str | None:
    spans, form = task.metric == "span_f1", task.form
    return None if spans == (form == "tags") else f"the metric {task.metric} for examples of the form {form}"


def write_local(suite: TaskSuite, folder: Path) -> str:
    """The suite's files in the local layout, into an existing folder."""
    write_yaml(folder / "suite.yaml", _header(suite))
    for task in suite.tasks.values():
        (folder / task.name).mkdir()
        labels = {"labels": list(task.labels)} if task.labels else {}
        sizes = {f"{part}_size": len(task.examples(part)) for part in PARTS}
        write_yaml(folder / task.name / "task.yaml", {"name": task.name, **_head(task), **labels, **sizes})
        for part in PARTS:
            write_lines(folder / task.name / f"{part}.jsonl", [_local_row(e, task) for e in task.examples(part)])
    return "{}"


def _local_row(example: Example, task: Task) -> dict[str, Any]:
    row = {f.name: getattr(example, f.name) for f in fields(Example)}
    if task.labels and example.options == task.labels:
        del row["options"]  # the task's own
    return {k: list(v) if isinstance(v, tuple) else v for k, v in row.items() if v not in (None, "", ())}


def _arrow(suite: TaskSuite, folder: Path) -> str:
    fill_store(suite, folder)
    return "arrow:{}"


@dataclass(frozen=True)
class Writer:
    """How a layout is written.

    Attributes:
        problem: what of a task the layout cannot hold, if anything.
        write: writes a suite into an empty folder and says how that is opened, ``{}`` standing for it.
        folders: whether each task lies in a folder of its name.
    """

    problem: Callable[[Task], str | None]
    write: Callable[[TaskSuite, Path], str]
    folders: bool = True


WRITERS: dict[str, Writer] = {
    "metaicl": Writer(_metaicl_problem, _metaicl),
    "lm-eval": Writer(_text_problem, _lm_eval),
    "datasets": Writer(_text_problem, _datasets),
    "local": Writer(_local_problem, write_local),
    "arrow": Writer(_none, _arrow, folders=False),
}
