"""A paper's protocol on a stand-in in the paper's own layout: every row, the published numbers, the paper's scores."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from foreign import write
from papers import LABELS, TINY, asked

from eval.reproduce.data import held_out_tasks, seen_sources
from eval.reproduce.protocol import Published
from eval.reproduce.run import reproduce_run
from eval.reproduce.table import Reproduced
from metaicl.cli.main import main
from metaicl.lm.config import BackboneConfig
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.task import Task

ROWS = 10
SOME = ["PMI 0-shot", "Channel In-context", "MetaICL"]


@pytest.fixture(scope="module")
def ran(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Reproduced], list[str]]:
    """Some of the rows on the stand-in, and what was said; last, the table and the file as they were then."""
    folder, said = tmp_path_factory.mktemp("reproduced") / "run", list[str]()
    rows = reproduce_run(asked(data, folder, rows=SOME), said.append)
    return folder, rows, [*said, *((folder / f"reproduced.{kind}").read_text() for kind in ("md", "json"))]


@pytest.mark.slow
def test_all_ten_rows_run_and_stand_beside_the_published_numbers(data, tmp_path):
    rows = reproduce_run(asked(data, tmp_path / "run"), lambda text: None)
    assert [row.row for row in rows] == list(Published.read("metaicl").rows) and len(rows) == ROWS
    assert not [row for row in rows if row.refused or set(row.by_task) != {"mood", "race-middle"}]
    table = (tmp_path / "run" / "reproduced.md").read_text()
    assert "| Channel MetaICL (1 steps) | 48.7/46.4 | " in table and "| 0-shot | 34.9 | " in table


def test_the_table_and_the_file_hold_the_rows(ran):
    _, rows, (*_, said, table, written) = ran
    assert [row.row for row in rows] == SOME and not [row for row in rows if row.refused]
    assert said == table and "| MetaICL (1 steps) | 43.2/41.6 | " in table and "| PMI 0-shot | 34.8 | " in table
    assert json.loads(written)["rows"] == json.loads(json.dumps([row.to_json() for row in rows]))


def test_rows_with_demonstrations_have_both_seeds_and_others_one(ran):
    assert [{len(scores) for scores in row.by_task.values()} for row in ran[1]] == [{1}, {2}, {2}]
    assert [row.worst is None for row in ran[1]] == [True, False, False]


def test_a_task_of_the_same_source_as_a_training_task_is_flagged(ran, data):
    assert "Meta-training has a task of the same source as: race-middle." in ran[2][-2]
    published, run = Published.read("metaicl"), asked(data, Path("unused"))
    tasks = held_out_tasks(published, run, tiny_tokenizer())[100]
    assert seen_sources(published, run, tasks) == ["race-middle"]


def test_the_same_command_continues_and_gives_the_same_numbers(ran, data):
    folder, rows, _ = ran
    cells = (folder / "seed-100" / "cells.jsonl").read_bytes()
    assert reproduce_run(asked(data, folder, rows=SOME[1:]), lambda text: None) == rows[1:]
    assert (folder / "seed-100" / "cells.jsonl").read_bytes() == cells


def test_published_weights_answer_instead_of_a_training(data, tmp_path):
    file = tmp_path / "model.pt"
    weights = tiny_model(seed=5).state_dict()
    torch.save({f"module.{name}": value for name, value in weights.items()}, file)
    (row,) = reproduce_run(
        asked(data, tmp_path / "run", rows=["MetaICL"], weights_of={"MetaICL": str(file)}), lambda text: None
    )
    assert row.steps is None and row.weights == str(file) and row.mean is not None
    assert not (tmp_path / "run" / "trained").exists()
    model = tmp_path / "run" / "models" / "metaicl"
    (same,) = reproduce_run(
        asked(data, tmp_path / "other", rows=["In-context"], backbone=BackboneConfig(str(model), device="cpu")),
        lambda text: None,
    )
    assert same.by_task == row.by_task  # in-context learning of those weights


@pytest.mark.slow
def test_the_protocol_of_in_context_tuning_runs_on_its_own_pickles(tmp_path):
    rows = {f"T{n}": [{"[X]": f"text {n} {i}", "<label>": i % 2} for i in range(20)] for n in range(3)}
    parts = {
        "data": rows,
        "templates": {name: ["[X] Is it new? <label>"] for name in rows},
        "verbalizers": {name: ["No", "Yes"] for name in rows},
        "cross_validation_splits": [{"train": ["T0", "T1"], "val": [], "test": ["T2"]}],
    }
    folder = write(tmp_path / "ict", {f"{name}.pkl": pickle.dumps(value) for name, value in parts.items()})
    lora = replace(TINY, lora_layers=1)
    run = asked(folder, tmp_path / "run", paper="ict", setting="binaryclfs", queries=6, backbone=lora)
    rows = reproduce_run(run, lambda text: None)
    assert [row.row for row in rows] == list(Published.read("ict").rows) and not [row for row in rows if row.refused]
    assert {row.row: len(row.by_task["T2"]) for row in rows if row.row in ("ICT", "Raw LM 0-shot")} == {
        "ICT": 2,
        "Raw LM 0-shot": 1,
    }


def test_the_prompts_are_those_of_the_papers_code(data):
    published = Published.read("metaicl")
    shown, query = Example("in", "praise", tuple(LABELS)), Example("ask", None, tuple(LABELS))
    task = Task("mood", "classification", lambda split: [shown], labels=tuple(LABELS))
    for name, demonstration, branch in (
        ("In-context", "in\npraise\n\n\n", ("ask\n", "complaint")),
        ("Channel In-context", "praise\nin\n\n\n", ("complaint\n", "ask")),
    ):
        form = published.prompt_format(published.rows[name]).subclassed().of(task)
        assert "".join(segment.text for segment in form.demonstration(shown)) == demonstration
        assert tuple(segment.text for segment in form.branch(query, "complaint")) == branch


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"setting": "hr_to_hr"}, "MetaICL has no setting 'hr_to_hr'"),
        ({"rows": ["Metaicl"]}, "MetaICL has no row 'Metaicl'.*Did you mean MetaICL"),
        ({"weights_of": {"0-shot": "model.pt"}}, "no row of this name takes weights: '0-shot'"),
        ({"weights_of": {"MetaICL": "nowhere.pt"}, "rows": ["MetaICL"]}, "no file of weights"),
        ({"setting": "class_to_class"}, "target tasks of class_to_class are not there"),
        ({"paper": "metaicle"}, "no protocol of the paper 'metaicle'"),
    ],
)
def test_a_mistake_is_named_before_anything_is_trained(data, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        reproduce_run(asked(data, tmp_path / "run", **{"rows": ["0-shot"], **changes}), lambda text: None)
    assert not (tmp_path / "run" / "trained").exists()


def test_the_command_prints_the_table(data, tmp_path, capsys):
    main(
        ["reproduce", "metaicl", "--setting", "hr_to_lr", "--data", str(data), "--rows", "0-shot", "--seeds", "1",
         "--model", "tiny-random", "--dtype", "float32", "--queries", "3", "--output_dir", str(tmp_path / "run")]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "| 0-shot | 34.9 | " in said and "At most 3 queries of each task were answered." in said
