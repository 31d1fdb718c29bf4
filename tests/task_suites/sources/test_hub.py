"""Data sets: local ones in the hub's layouts without a network, hub names at one recorded commit."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import datasets
import huggingface_hub
import pytest
import yaml
from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value

from task_suites import Example, UserError, open_suite

datasets.disable_progress_bars()
NAMES = ("bad", "good")
ROWS = {
    "text": [f"t{i}" for i in range(8)],
    "label": [i % 2 for i in range(8)],
    "tags": [[0, 1]] * 8,
    "w": [["a", "b"]] * 8,
}
FEATURES = Features(
    {
        "text": Value("string"),
        "label": ClassLabel(names=list(NAMES)),
        "tags": List(ClassLabel(names=["O", "B-X"])),
        "w": List(Value("string")),
    }
)
EXPECTED = [Example(t, NAMES[y], NAMES) for t, y in zip(ROWS["text"], ROWS["label"], strict=True)]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def dataset() -> Dataset:
    return Dataset.from_dict(ROWS, features=FEATURES)


def error_of(name: str) -> str:
    with pytest.raises(UserError) as raised:
        for task in open_suite(name).tasks.values():
            task.examples("train")
            task.examples("test")
    return str(raised.value)


def saved(folder: Path) -> Path:
    DatasetDict(train=dataset(), test=dataset().select(range(4))).save_to_disk(folder / "saved")
    return folder / "saved"


def of_parquet(folder: Path) -> Path:
    home = folder / "repo" / "data"
    home.mkdir(parents=True)
    for split, part in (("train", dataset()), ("test", dataset().select(range(4)))):
        half = len(part) // 2
        part.select(range(half)).to_parquet(home / f"{split}-00000-of-00002.parquet")
        part.select(range(half, len(part))).to_parquet(home / f"{split}-00001-of-00002.parquet")
    return folder / "repo"


@pytest.mark.parametrize("make", [saved, of_parquet])
def test_a_local_data_set_opens_with_its_class_names(tmp_path, make):
    folder = make(tmp_path)
    task = open_suite(f"hf:{folder}")[folder.name]
    assert list(task.examples("train")) == EXPECTED and list(task.examples("test")) == EXPECTED[:4]
    assert (task.type, task.labels, task.family) == ("classification", NAMES, folder.name)
    assert task.source.startswith(f"{folder.name}, fingerprint ")


def test_the_fingerprint_changes_with_the_bytes_of_the_data(tmp_path):
    folder = of_parquet(tmp_path)
    before = open_suite(f"hf:{folder}")["repo"].source
    assert open_suite(f"hf:{folder}")["repo"].source == before
    dataset().select(range(3)).to_parquet(folder / "data/test-00001-of-00002.parquet")
    assert open_suite(f"hf:{folder}")["repo"].source != before


def test_a_lone_file_or_saved_data_set_is_divided(tmp_path):
    dataset().to_parquet(tmp_path / "all.parquet")
    dataset().save_to_disk(tmp_path / "one")
    for name in ("all.parquet", "one"):
        (task,) = open_suite(f"hf:{tmp_path / name}?test_share=0.25&seed=1").tasks.values()
        assert (len(task.examples("train")), len(task.examples("test"))) == (6, 2)


def test_options_rename_classes_and_choose_columns(tmp_path):
    folder = saved(tmp_path)
    (task,) = open_suite(f"hf:{folder}?labels=bad:awful,good:great&streaming=2").tasks.values()
    assert [e.output for e in task.examples("train")] == ["awful", "great"]
    (task,) = open_suite(f"hf:{folder}?labels=good,bad").tasks.values()  # the classes' own names, in another order
    assert [e.output for e in task.examples("train")][:2] == ["bad", "good"] and task.labels == ("good", "bad")
    (task,) = open_suite(f"hf:{folder}?labels=0:no,good:yes").tasks.values()
    assert [e.output for e in task.examples("train")][:2] == ["no", "yes"]
    (task,) = open_suite(f"hf:{folder}?tokens=w&tags=tags").tasks.values()
    assert task.examples("train")[0] == Example(tokens=("a", "b"), tags=("O", "B-X"))
    for words in ("awful,great", "x,y,z"):  # which word stands for which class is not guessed
        message = error_of(f"hf:{folder}?labels={words}")
        assert "labels are not the classes of the data" in message and 'labels: {"bad": "' in message


def test_a_table_yaml_names_a_data_set_beside_it(tmp_path):
    saved(tmp_path)
    keys = {"path": "saved", "input": "text", "output": "label", "instruction": "Rate it.", "test": "train"}
    (tmp_path / "x.yaml").write_text(yaml.safe_dump(keys))
    for scheme in ("table", "hf"):
        task = open_suite(f"{scheme}:{tmp_path / 'x.yaml'}")["x"]
        assert list(task.examples("test")) == EXPECTED and task.instruction == "Rate it."


def test_a_config_is_a_folder_of_its_own(tmp_path):
    for config, size in (("small", 2), ("large", 6)):
        (tmp_path / "repo" / config).mkdir(parents=True)
        for split in ("train", "validation"):
            dataset().select(range(size)).to_parquet(tmp_path / "repo" / config / f"{split}.parquet")
    (task,) = open_suite(f"hf:{tmp_path / 'repo'}?config=small").tasks.values()
    assert task.name == "repo-small" and len(task.examples("test")) == 2
    assert "Name a config: large, small." in error_of(f"hf:{tmp_path / 'repo'}")
    assert "Did you mean small?" in error_of(f"hf:{tmp_path / 'repo'}?config=smal")


@pytest.mark.parametrize("name", ["../../etc", "/etc/passwd", "train/../../other"])
def test_a_saved_data_set_does_not_lead_out_of_its_folder(tmp_path, name):
    folder = saved(tmp_path)
    (folder / "train/state.json").write_text(json.dumps({"_data_files": [{"filename": name}]}))
    assert "not a name within the folder" in error_of(f"hf:{folder}")
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": [name]}))
    assert "not a name within the folder" in error_of(f"hf:{folder}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("input=txet", "no column 'txet'"),
        ("lables=a,b", "unknown option 'lables'. Did you mean labels"),
        ("train=trian", "no split 'trian'. Did you mean train"),
        ("revision=main", "a local data set has no revision"),
        ("seed=x", "option seed has a wrong value"),
        ("test_share=x", "option test_share has a wrong value"),
        ("metric=acuracy", "unknown metric 'acuracy'"),
    ],
)
def test_a_mistake_in_the_options_is_named(tmp_path, options, message):
    assert message in error_of(f"hf:{saved(tmp_path)}?{options}")


def test_rows_without_an_answer_say_that_another_split_is_meant(tmp_path):
    folder = tmp_path / "repo"
    folder.mkdir()
    dataset().to_parquet(folder / "train.parquet")
    Dataset.from_dict({**ROWS, "label": [-1] * 8}, features=FEATURES).to_parquet(folder / "test.parquet")
    assert "the output is not the number of a class; found -1; expected 0 to 1. A split without answers?" in error_of(
        f"hf:{folder}"
    )


def test_without_a_network_a_hub_name_is_one_clear_error():
    text = error_of("hf:nobody/nothing-here")
    assert (
        text.startswith("hf:nobody/nothing-here: the data set nobody/nothing-here is not here")
        and "local folder" in text
    )
    assert "cannot be loaded" in error_of(f"hf:nobody/nothing-here?revision={COMMIT}")
    assert "neither a file nor the name of a data set of the hub" in error_of("hf:no such thing at all")


@pytest.fixture
def hub(monkeypatch):
    """The calls that reach the hub's libraries, which answer as if there were a network."""
    calls = []

    def dataset_info(self, name, revision=None, timeout=None):
        calls.append(("info", name, revision))
        return SimpleNamespace(sha=COMMIT, card_data=SimpleNamespace(license="mit"))

    def load_dataset(name, config, revision, streaming):
        calls.append(("load", name, config, revision, streaming))
        parts = DatasetDict(train=dataset(), validation=dataset().select(range(2)))
        if streaming:
            return datasets.IterableDatasetDict({k: v.to_iterable_dataset() for k, v in parts.items()})
        return parts

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", dataset_info)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return calls


def test_a_hub_name_is_resolved_to_a_commit_that_is_recorded(hub):
    (task,) = open_suite("hf:someone/moods?config=plain&revision=v2").tasks.values()
    assert hub == [("info", "someone/moods", "v2"), ("load", "someone/moods", "plain", COMMIT, False)]
    assert list(task.examples("train")) == EXPECTED and len(task.examples("test")) == 2
    assert task.source.startswith(f"someone/moods@{COMMIT} (plain), fingerprint ")
    assert (task.family, task.licence, task.labels) == ("someone/moods", "mit", NAMES)


def test_a_full_commit_is_taken_as_it_is(hub):
    open_suite(f"hf:someone/moods?revision={COMMIT}")
    assert [call[0] for call in hub] == ["load"]


def test_streaming_reads_the_first_rows_of_a_hub_data_set(hub):
    (task,) = open_suite("hf:someone/moods?streaming=3").tasks.values()
    assert hub[-1][-1] is True and list(task.examples("train")) == EXPECTED[:3]
