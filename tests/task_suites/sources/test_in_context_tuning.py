"""Folders of In-context Tuning: pickles of plain values become tasks, and others are never run."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from foreign import error_of, examples, write

from task_suites import open_suite
from task_suites.example import Example

KEY = "[X]"


class Harm:
    def __reduce__(self):
        return print, ("harm",)


def folder(path: Path, verbalizers: object = None, **changes: object) -> Path:
    words = [f"word{i}" for i in range(60)]
    rows = {f"P{n}": [{KEY: f"place {n} {i}", "<label>": i % 2} for i in range(10)] for n in range(3)}
    parts = {
        "data": rows,
        "templates": {name: ["<label> is around [X].", "[X] lies in <label>."] for name in rows},
        "cross_validation_splits": {0: {"train": ["P0"], "val": ["P1"], "test": ["P2"]}},
        **changes,
    }
    files = {f"{name}.pkl": pickle.dumps(value) for name, value in parts.items()}
    if verbalizers:
        files["verbalizers.pkl"] = pickle.dumps(verbalizers)
    return write(path, {**files, "class_verbalizers.txt": "\n".join(words)})


def test_a_task_of_many_verbalizers_asks_for_text(tmp_path):
    suite = open_suite(f"ict:{folder(tmp_path)}")
    assert suite.splits == {"meta_train": ("P0",), "meta_validation": ("P1",), "meta_test": ("P2",)}
    assert suite["P2"].type == "generation" and len(examples(suite["P2"])) == 10
    assert Example("place 2 0 lies in", "word0") in examples(suite["P2"])


def test_a_task_of_few_verbalizers_is_a_classification(tmp_path):
    suite = open_suite(f"ict:{folder(tmp_path, {f'P{n}': ['no', 'yes'] for n in range(3)})}")
    assert suite["P0"].labels == ("no", "yes")
    assert Example("place 0 1 lies in", "yes", ("no", "yes")) in examples(suite["P0"])


def test_a_pickle_that_would_run_code_is_refused_and_not_run(tmp_path, capsys):
    message = error_of(f"ict:{folder(tmp_path, data=Harm())}")
    assert "the pickle is damaged, or holds more than data" in message and "builtins.print" in message
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("option", "changes", "message"),
    [
        ("?fold=3", {}, "no fold 3 with train, val and test"),
        ("?template=1", {}, "no template 1"),
        ("", {"templates": {}}, "this is not a mapping from tasks to their data"),
        ("", {"data": {"P0": [{KEY: "x", "<label>": 99}]}}, "not an example"),
        (
            "",
            {"cross_validation_splits": {0: {"train": ["P9"], "val": [], "test": []}}},
            "a fold names the task 'P9', which has no data",
        ),
        ("", {"verbalizers": {"P0": ["no", "yes"]}}, "the task 'P1' has no verbalizers"),
    ],
)
def test_a_mistake_is_named(tmp_path, option, changes, message):
    assert message in error_of(f"ict:{folder(tmp_path, **changes)}{option}")


def test_a_file_that_is_missing_or_damaged_is_named(tmp_path):
    made = folder(tmp_path)
    (made / "data.pkl").write_bytes(b"\x80\x04}")
    assert "data.pkl: the pickle is damaged, or holds more than data" in error_of(f"ict:{made}")
    (made / "data.pkl").unlink()
    assert "data.pkl: cannot be read (No such file" in (said := error_of(f"ict:{made}")) and "Name the folder" in said
