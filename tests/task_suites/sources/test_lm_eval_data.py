"""Where the documents of a task of lm-evaluation-harness are."""

from __future__ import annotations

import pytest

from task_suites.core.errors import UserError
from task_suites.sources.lm_eval_data import parts_of, text_of


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "tasks").mkdir()
    (tmp_path / "data" / "a.csv").write_text("q;a\n1;x\n")
    (tmp_path / "tasks" / "b.jsonl").write_text('{"q": 2}\n')
    return tmp_path


def read(folder, **config):
    parts = parts_of(config, folder, folder / "tasks" / "t.yaml")
    return {part: [row for _, row in rows.read()] for part, rows in parts.items()}


def test_files_are_found_beside_the_yaml_or_above_it(folder):
    files = {"data_files": {"train": "data/a.csv", "test": "data/a.csv"}, "delimiter": ";"}
    found = read(folder, dataset_path="csv", dataset_kwargs=files, training_split="train", test_split="test")
    assert found == {"train": [{"q": "1", "a": "x"}], "test": [{"q": "1", "a": "x"}]}
    found = read(folder, dataset_path="json", dataset_kwargs={"data_files": {"v": "b.jsonl"}}, validation_split="v")
    assert found == {"test": [{"q": 2}]}


def test_samples_in_the_yaml_are_the_demonstrations(folder):
    config = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "b.jsonl"}}, "test_split": "test"}
    assert read(folder, **config, fewshot_config={"samples": [{"q": 9}]})["train"] == [{"q": 9}]
    with pytest.raises(UserError, match=r"fewshot_config\.samples has a wrong type"):
        read(folder, **config, fewshot_config={"samples": "many"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"test_split": None}, "neither test_split nor validation_split is named"),
        ({"test_split": "tset"}, "no files of the split 'tset'. Did you mean test"),
        ({"dataset_path": ""}, "dataset_path does not name data that can be read"),
        ({"dataset_kwargs": {"data_files": {"test": "c.jsonl"}}}, "no such data file; found 'c.jsonl'"),
        ({"dataset_kwargs": {"data_files": {"test": "../../outside.jsonl"}}}, "no such data file"),
        ({"dataset_kwargs": {"data_files": {"test": "b.jsonl"}, "delimiter": "ab"}}, "delimiter must be one character"),
        ({"dataset_kwargs": {"data_file": {"test": "b.jsonl"}}}, "unknown key 'data_file'"),
        ({"dataset_kwargs": "x.json"}, "dataset_kwargs has a wrong type; found 'x.json'; expected a mapping"),
    ],
)
def test_data_that_cannot_be_found_is_named(folder, change, said):
    (folder.parent / "outside.jsonl").write_text("{}\n")
    config = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "b.jsonl"}}, "test_split": "test"}
    with pytest.raises(UserError, match=said):
        read(folder, **{**config, **change})


def test_a_text_is_empty_where_it_is_absent():
    assert text_of({}, "description", "x") == "" and text_of({"description": "d"}, "description", "x") == "d"
    with pytest.raises(UserError, match="description has a wrong type; found 3; expected text"):
        text_of({"description": 3}, "description", "x")
