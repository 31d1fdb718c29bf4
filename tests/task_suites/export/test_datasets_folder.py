"""Parquet for `datasets`: class names in the schema, and a config for each task."""

from __future__ import annotations

import yaml
from pyarrow import parquet

from task_suites.example import Example
from task_suites.export.datasets_folder import WRITER
from task_suites.task import Task, TaskSuite

YES_NO = ("yes", "no")
ROWS = {
    "plain": [Example("q", "yes", YES_NO), Example("r", "no", YES_NO)],
    "own:options": [Example("q", "b", ("a", "b"), accepted=("a",)), Example("r", "c", ("c", "d"))],
    "tags": [Example(tokens=("a", "b"), tags=("O", "B-X"))],
}
TYPES = {"plain": "classification", "own:options": "multiple_choice", "tags": "tagging"}
TASKS = {
    name: Task(
        name,
        TYPES[name],
        lambda split, rows=rows: rows,
        labels={"plain": YES_NO, "tags": ("X",)}.get(name, ()),
        metric="span_f1" if name == "tags" else "accuracy",
    )
    for name, rows in ROWS.items()
}


def test_the_columns_that_a_task_has_are_said_once_and_labels_are_class_numbers(tmp_path):
    suite = TaskSuite("s", TASKS, {"meta_test": tuple(TASKS)})
    assert WRITER.write(suite, tmp_path) == "table:{}"
    tables = yaml.safe_load((tmp_path / "tables.yaml").read_text(encoding="utf-8"))["tasks"]
    columns = {"input", "output", "tokens", "tags", "accepted", "options", "labels"}
    assert {name: columns & set(table) for name, table in tables.items()} == {
        "plain": {"input", "output", "labels"},
        "own:options": {"input", "output", "options", "accepted"},
        "tags": {"tokens", "tags", "labels"},
    }
    assert parquet.read_table(tmp_path / "plain" / "train.parquet").column("output").to_pylist() == [0, 1]
    own = parquet.read_table(tmp_path / "own.options" / "test.parquet").to_pylist()
    assert own[0] == {"input": "q", "output": "b", "options": ["a", "b"], "accepted": ["a"]}


def test_the_readme_names_a_config_for_each_task_with_files_that_exist(tmp_path):
    WRITER.write(TaskSuite("s", TASKS, {"meta_test": tuple(TASKS)}, "three"), tmp_path)
    _, card, body = (tmp_path / "README.md").read_text(encoding="utf-8").split("---\n")
    configs = yaml.safe_load(card)["configs"]
    assert [config["config_name"] for config in configs] == ["plain", "own.options", "tags"]
    assert all((tmp_path / file["path"]).is_file() for config in configs for file in config["data_files"])
    assert body == "# s\n\nthree\n"
