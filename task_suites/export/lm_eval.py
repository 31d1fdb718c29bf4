"""lm-evaluation-harness: <task>/<task>.yaml with train.jsonl and test.jsonl, and suite.json."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypedDict

from task_suites.core.atomic import write_lines, write_yaml
from task_suites.example import Example
from task_suites.export.writer import (
    PARTS,
    Head,
    Writer,
    all_examples,
    folder_name,
    has_several_answers,
    head,
    suite_header,
    text_problem,
    write_json,
)
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task, TaskSuite


def _write(suite: TaskSuite, folder: Path) -> str:
    """Write one YAML and two JSON-lines files a task; a tag for each side of the split, such as `embedded_meta_test`.

    Data files are named relative to the folder: the harness is run in it.
    """
    for task in suite.tasks.values():
        home = folder / folder_name(task.name)
        several = has_several_answers(task)
        for part in PARTS:
            write_lines(home / f"{part}.jsonl", (_document(e, several) for e in task.examples(part)))
        write_yaml(
            home / f"{home.name}.yaml",
            {
                **_config(task),
                "tag": [f"{suite.name}_{side}" for side in suite.splits if task in suite.split(side)],
            },
        )
    write_json(folder / "suite.json", suite_header(suite))
    return "lm-eval:{}"


class Document(TypedDict, total=False):
    """A row that holds an example and, beside it, its answer as the harness wants it.

    Attributes:
        label: the number of the right option.
    """

    input: str
    output: str
    tokens: list[str]
    tags: list[str]
    options: list[str]
    label: int
    accepted: list[str]


class Ours(Head, total=False):
    """What the harness has no key for; `task_suites.sources.lm_eval_yaml` reads it.

    Attributes:
        input, accepted: the fields of a document that hold these; `tags`: those of its tokens and tags.
    """

    input: str
    labels: list[str]
    tags: list[str]
    accepted: str


class HarnessMetric(TypedDict, total=False):
    """An entry of the harness' `metric_list`."""

    metric: str
    aggregation: str
    higher_is_better: bool
    ignore_case: bool
    ignore_punctuation: bool


def _document(example: Example, several: bool) -> Document:
    if example.tokens is not None:
        text = PromptFormat().answer_text(example)
        return {"input": example.text, "output": text, "tokens": list(example.tokens), "tags": list(example.tags or ())}
    row: Document = {"input": example.input, "output": example.output or ""}
    if example.options is not None:
        row["options"], row["label"] = list(example.options), example.options.index(example.output or "")
    if several:
        row["accepted"] = list(example.accepted)
    return row


def _config(task: Task) -> dict[str, Any]:
    """Return a task's YAML in the harness' format."""
    ours: Ours = {**head(task), "input": "input", "labels": list(task.labels)}
    data = {part: f"{folder_name(task.name)}/{part}.jsonl" for part in PARTS}
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
    if task.form == "tags":
        ours["tags"] = ["tokens", "tags"]
    if has_several_answers(task):
        ours["accepted"] = "accepted"
    if task.form == "options":
        same = bool(task.labels) and all(e.options == task.labels for e in all_examples(task))
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


def _metric(name: str) -> HarnessMetric:
    return {"metric": name, "aggregation": "mean", "higher_is_better": True}


def _escaped(text: str) -> str:
    """Return text that a Jinja template gives back as it is: the harness takes descriptions for templates."""
    return "{% raw %}" + text + "{% endraw %}" if re.search(r"\{[{%#]", text) else text


WRITER = Writer(text_problem, _write)
