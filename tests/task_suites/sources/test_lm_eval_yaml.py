"""lm-evaluation-harness tasks: what the harness reads is what we read, and nothing of theirs is run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from helpers import REALTASKS

from task_suites import Example, UserError, open_suite
from task_suites.sources import lm_eval_files

FORMATS = REALTASKS.parent / "formats"
DOCS = [{"text": "fine", "label": 1, "kinds": ["bad", "good"]}, {"text": "foul", "label": 0, "kinds": ["bad", "good"]}]
CHOICE = {
    "task": "mood",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"train": "docs.jsonl", "test": "docs.jsonl"}},
    "output_type": "multiple_choice",
    "training_split": "train",
    "test_split": "test",
    "doc_to_text": "{{text}}\nMood:",
    "doc_to_target": "label",
    "doc_to_choice": ["bad", "good"],
    "metric_list": [{"metric": "acc"}],
}


def write(folder: Path, *configs: dict, docs: list[dict] | None = None, **files: str) -> str:
    """A folder with these configs as 0.yaml, 1.yaml, ... and these documents in docs.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, config in enumerate(configs):
        kept = {key: value for key, value in config.items() if value is not None}
        (folder / f"{number}.yaml").write_text(yaml.safe_dump(kept, sort_keys=False))
    lines = "".join(json.dumps(doc) + "\n" for doc in (DOCS if docs is None else docs))
    (folder / "docs.jsonl").write_text(lines)
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text)
    return f"lm-eval:{folder}"


def error_of(name: str) -> str:
    with pytest.raises(UserError) as raised:
        for task in open_suite(name).tasks.values():
            task.examples("train")
            task.examples("test")
    return str(raised.value)


@pytest.mark.skipif(not FORMATS.is_dir(), reason="the folder of format samples is not here")
@pytest.mark.parametrize("place", ["lm_eval", "lm_eval/parcel_mood/parcel_mood.yaml"])
def test_the_samples_open_from_their_folder_and_from_their_file(place):
    task = open_suite(f"lm-eval:{FORMATS / place}")["parcel_mood"]
    labels = ("complaint", "praise")
    assert task.examples("test")[1] == Example("Lovely service.\nMood:", "praise", labels)
    assert (task.type, task.labels, task.metric) == ("classification", labels, "accuracy")
    assert task.instruction == "Is the customer complaining or praising?" and len(task.examples("train")) == 3


@pytest.mark.skipif(not FORMATS.is_dir(), reason="the folder of format samples is not here")
def test_a_sample_that_generates_opens_as_free_text():
    task = open_suite(f"lm-eval:{FORMATS / 'lm_eval'}")["weekday"]
    assert task.examples("test")[1] == Example("Question: Which day comes before Tuesday?\nAnswer:", "Monday")
    assert (task.type, task.metric) == ("generation", "exact_match")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"doc_to_choice": "kinds"},
        {"doc_to_choice": "{{kinds}}"},
        {"doc_to_choice": "{{['bad', 'good']}}"},
        {"doc_to_choice": {"a": "bad", "b": "good"}},
        {"doc_to_target": "{{label}}"},
        {"doc_to_target": "{{kinds[label]}}"},
        {"doc_to_target": "{{['bad', 'good'].index(kinds[label])}}"},
        {"test_split": None, "validation_split": "test"},
        {"training_split": None, "fewshot_split": "train"},
        {"dataset_kwargs": {"data_files": {"train": ["docs.jsonl"], "test": "docs.jsonl"}, "trust_remote_code": True}},
    ],
)
def test_choices_and_targets_are_fields_templates_or_lists(tmp_path, changes):
    task = open_suite(write(tmp_path, {**CHOICE, **changes}))["mood"]
    kinds = ("bad", "good")
    expected = (Example("fine\nMood:", "good", kinds), Example("foul\nMood:", "bad", kinds))
    assert task.examples("train") == task.examples("test") == expected


def test_several_right_answers_of_a_generated_text_are_kept(tmp_path):
    docs = [{"q": "Name one.", "a": ["x", "y"]}]
    config = {**CHOICE, "output_type": "generate_until", "doc_to_choice": None, "doc_to_text": "q", "metric_list": None}
    for target in ("a", "{{a}}"):
        task = open_suite(write(tmp_path, {**config, "doc_to_target": target}, docs=docs))["mood"]
        assert task.examples("test") == (Example("Name one.", "x", accepted=("y",)),)


def test_one_split_is_divided_and_written_samples_are_demonstrations(tmp_path):
    docs = [{**DOCS[i % 2], "text": f"t{i}"} for i in range(20)]
    alone = {**CHOICE, "training_split": None}
    task = open_suite(write(tmp_path, alone, docs=docs))["mood"]
    train, test = ({e.input for e in task.examples(part)} for part in ("train", "test"))
    assert (len(train), len(test)) == (4, 16) and not train & test
    task = open_suite(write(tmp_path, {**alone, "fewshot_config": {"samples": DOCS}}, docs=docs))["mood"]
    assert [e.output for e in task.examples("train")] == ["good", "bad"] and len(task.examples("test")) == 20


def test_includes_lie_below_and_groups_name_their_members(tmp_path):
    base = yaml.safe_dump({k: v for k, v in CHOICE.items() if k != "task"})
    own = {"include": "_base.yaml", "task": "mood", "doc_to_text": "text"}
    other = {"include": ["_base.yaml"], "task": "tone"}
    group = {"group": "both", "task": ["mood", {"task": "tone", "description": "Hear!"}]}
    name = write(tmp_path / "a", own, other, group, _base=base)
    suite = open_suite(name)
    assert sorted(suite.tasks) == ["mood", "tone"]
    assert (
        suite["mood"].examples("test")[0].input == "fine" and suite["tone"].examples("test")[0].input == "fine\nMood:"
    )
    suite = open_suite(f"{name}/2.yaml")
    assert list(suite.tasks) == ["mood", "tone"] and suite["tone"].instruction == "Hear!"


def test_a_circle_of_includes_or_groups_is_an_error(tmp_path, monkeypatch):
    name = write(tmp_path / "a", {**CHOICE, "include": "1.yaml"}, {"include": "0.yaml"})
    assert "the includes form a circle; found 0.yaml -> 1.yaml -> 0.yaml" in error_of(name)
    name = write(tmp_path / "b", {"group": "a", "task": ["b"]}, {"group": "b", "task": ["a"]})
    assert "the groups form a circle" in error_of(name)
    monkeypatch.setattr(lm_eval_files, "MAX_MEMBERS", 500)
    bomb = [{"group": f"g{i}", "task": [f"g{i + 1}"] * 100} for i in range(8)]
    assert "the groups have too many members" in error_of(
        write(tmp_path / "c", *bomb, {**CHOICE, "task": "g8"}) + "/0.yaml"
    )


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("process_docs: !function utils.process", ":2"),
        ("doc_to_text: !function utils.text", ":2"),
        ("metric_list:\n  - metric: !function utils.acc", ":3"),
    ],
)
def test_functions_are_refused_and_not_run(tmp_path, line, where):
    (tmp_path / "utils.py").write_text("raise SystemExit('it was run')")
    name = write(tmp_path, x=f"task: t\n{line}\n")
    assert f"x.yaml{where}: !function names Python code, which is not run" in error_of(name)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"include": "../secret.yaml"}, "not a name within the folder"),
        ({"include": "/etc/passwd"}, "not a name within the folder"),
        ({"include": 3}, "include has a wrong type"),
        ({"task": 3}, "task has a wrong type; found 3"),
        ({"task": ["nothing"]}, "no task 'nothing' beside this file"),
        ({"output_type": "loglikelihood"}, "output_type 'loglikelihood' has no answers to learn"),
        ({"use_prompt": "promptsource:x"}, "use_prompt needs code"),
        ({"dataset_kwargs": {"data_files": {"train": "../x.jsonl", "test": "/etc/passwd"}}}, "no such data file"),
        ({"dataset_kwargs": {"data_files": {"train": "docs.jsonl"}}}, "no files of the split 'test'"),
        ({"dataset_kwargs": {"data_flies": {}}}, "unknown key 'data_flies'. Did you mean data_files"),
        ({"dataset_path": None}, "dataset_path does not name data that can be read"),
        ({"test_split": None}, "neither test_split nor validation_split is named"),
        ({"doc_to_text": None}, "doc_to_text is missing"),
        ({"doc_to_text": "{{txt}}"}, "docs.jsonl:1: the template fails: 'txt' is undefined"),
        ({"doc_to_text": "{{text.__class__}}"}, "the template fails"),
        ({"doc_to_text": "{{label}}"}, "a choice among inputs is not supported"),
        ({"doc_to_target": "7"}, "the target is not the number of a choice; found 7; expected 0 to 1"),
        ({"doc_to_choice": "text"}, "doc_to_choice must give a list"),
        ({"doc_to_choice": None}, "doc_to_choice is missing"),
        ({"doc_to_choice": ["bad"]}, "the target is not the number of a choice; found 1"),
        ({"fewshot_config": {"doc_to_text": "x"}}, "fewshot_config.doc_to_text"),
        ({"fewshot_config": {"samples": "x"}}, "fewshot_config.samples has a wrong type"),
        ({"metadata": {"metaicl": {"labels": [1]}}}, "labels has a wrong value"),
    ],
)
def test_a_mistake_is_one_error_that_names_the_file(tmp_path, changes, message):
    (tmp_path / "secret.yaml").write_text("task: secret\n")
    text = error_of(write(tmp_path / "suite", {**CHOICE, **changes}))
    assert message in text and str(tmp_path / "suite") in text


def test_a_file_that_links_out_of_the_folder_is_refused(tmp_path):
    name = write(tmp_path / "suite", CHOICE)
    (tmp_path / "secret.yaml").write_text("task: secret")
    (tmp_path / "suite/link.yaml").symlink_to(tmp_path / "secret.yaml")
    assert "link.yaml: the link leads out of the folder" in error_of(name)
    (tmp_path / "suite/link.yaml").unlink()
    (tmp_path / "docs.jsonl").write_text("")
    (tmp_path / "suite/docs.jsonl").unlink()
    (tmp_path / "suite/docs.jsonl").symlink_to(tmp_path / "docs.jsonl")
    assert "docs.jsonl: the link leads out of the folder" in error_of(name)


def test_a_name_that_is_too_long_for_a_file_is_an_error():
    assert "cannot be read" in error_of("lm-eval:" + "x" * 5000)
