"""Data sets on disk, by name: which files are which split."""

from __future__ import annotations

import json

import pytest

from task_suites.core.errors import UserError
from task_suites.sources.dataset_rows import find_dataset


@pytest.fixture
def folder(tmp_path):
    for config in ("", "small", "large"):
        home = tmp_path / "set" / "data" if not config else tmp_path / "set" / config
        home.mkdir(parents=True)
        for split in ("train", "validation"):
            (home / f"{split}.csv").write_text(f"q\n{config}{split}\n")
    return tmp_path


def rows(folder, **keys):
    found = find_dataset({"path": "set", **keys}, folder, "t.yaml")
    return {part: [row["q"] for _, row in table.read()] for part, table in found.parts.items()}


def test_files_are_found_in_the_folder_data_or_in_the_named_config(folder):
    assert rows(folder) == {"train": ["train"], "test": ["validation"]}
    assert rows(folder, config="small", train="validation", test="train") == {
        "train": ["smallvalidation"],
        "test": ["smalltrain"],
    }
    head = find_dataset({"path": "set", "config": "small"}, folder, "t").head
    assert head["family"] == "set" and head["source"].startswith("set (small), fingerprint ")


def test_a_saved_data_set_is_read_by_its_state_inside_its_folder(folder):
    saved = folder / "saved" / "train"
    saved.mkdir(parents=True)
    (saved.parent / "dataset_dict.json").write_text('{"splits": ["train"]}')
    (saved / "part.csv").write_text("q\nx\n")
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "part.csv"}]}))
    assert rows(folder, path="saved", format="csv") == {"train": ["x"]}
    (saved / "state.json").write_text(json.dumps({"_data_files": [{"filename": "../../set/data/train.csv"}]}))
    with pytest.raises(UserError, match="not a name within the folder"):
        rows(folder, path="saved")
    (saved / "state.json").write_text("{}")
    with pytest.raises(UserError, match="names no data files"):
        rows(folder, path="saved")


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"train": "trian"}, "no split 'trian'. Did you mean train"),
        ({"config": "smal"}, "no data file is here.*Did you mean small"),
        ({"revision": "abc"}, "a local data set has no revision"),
        ({"train": 3}, "train has a wrong type"),
        ({"path": "../set"}, "not a name within the folder"),
    ],
)
def test_what_the_data_set_does_not_have_is_named(folder, keys, said):
    with pytest.raises(UserError, match=said):
        rows(folder, **keys)
