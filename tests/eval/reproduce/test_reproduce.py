"""A paper's protocol on a stand-in in the paper's own layout: every row, the published numbers, the paper's scores."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from foreign import write

from eval.config import ReproduceRun
from eval.reproduce.data import cut, held_out_tasks, seen_sources, training_suite
from eval.reproduce.protocol import PAPERS, Published
from eval.reproduce.run import reproduce_run
from eval.reproduce.table import METRICS, Reproduced, auc_roc, markdown, metaicl, row_of
from eval.results import Prediction
from metaicl.cli.main import main
from metaicl.lm.config import BackboneConfig
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from metaicl.training.config import TrainerConfig
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.task import Task

LABELS = ["praise", "complaint"]
TINY = BackboneConfig("tiny-random", dtype="float32", device="cpu", attn_implementation="plain")
ROWS = 10


def lines(task: str, part: str, n: int, options: list[str] | None = None) -> list[dict]:
    chosen = LABELS if options is None else options
    return [{"task": task, "input": f"{task} {part} {i}", "output": chosen[i % 2], "options": chosen} for i in range(n)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A MetaICL folder: one setting, two meta-training tasks, two targets with two seeds."""
    files: dict[str, object] = {
        "config/hr_to_lr.json": {"train": ["race-high", "sky"], "test": ["mood", "race-middle"]},
        "config/tasks/mood.json": {"task_type": "classification", "options": LABELS},
        "config/tasks/race-middle.json": {"task_type": "multi-choice", "options": []},
    }
    for task in ("race-high", "sky"):
        files[f"data/{task}/{task}_16384_100_train.jsonl"] = lines(task, "train", 40)
    for seed in (100, 13):
        for task in ("mood", "race-middle"):
            for part, n in (("train", 16), ("test", 5)):
                said = f"{part} {seed}" if part == "train" else part
                files[f"data/{task}/{task}_16_{seed}_{part}.jsonl"] = lines(task, said, n)
    return write(tmp_path_factory.mktemp("metaicl"), files)


def asked(data: Path, folder: Path, **changes: object) -> ReproduceRun:
    small = {"max_steps": 1, "optim": "adamw", "seeds": 2, "progress": False, "backbone": TINY}
    return ReproduceRun(data=str(data), output_dir=str(folder), **{**small, **changes})  # type: ignore[arg-type]


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


def test_demonstrations_are_those_of_the_seed_and_queries_those_of_the_first(data):
    tasks = held_out_tasks(Published.read("metaicl"), asked(data, Path("unused")), tiny_tokenizer())
    assert tasks[13][0].examples("train")[0].input == "mood train 13 0"
    assert tasks[13][0].examples("test") == tasks[100][0].examples("test")
    assert [task.name for task in tasks[100]] == ["mood", "race-middle"]


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


def test_the_training_is_the_papers():
    published = Published.read("metaicl")
    trainer = TrainerConfig(**published.training)
    assert (trainer.max_steps, trainer.episodes_per_step, trainer.learning_rate) == (30000, 8, 1e-5)
    assert (trainer.k, trainer.optim, trainer.mixing, trainer.rate(0)) == (16, "adamw_8bit", "proportional", 1e-5)
    assert list(published.seeds) == [100, 13, 21, 42, 87] and published.model == "gpt2-large"


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


@pytest.mark.parametrize("paper", PAPERS)
def test_every_row_names_a_method_with_its_options_and_has_numbers_of_known_settings(paper):
    published = Published.read(paper)
    assert set(published.metrics.values()) <= set(METRICS)
    for row in published.rows.values():
        published.prompt_format(row)
        assert set(row.published) <= set(published.metrics)
        assert not row.trained or row.answers_as or paper == "ict"
        for numbers in row.published.values():
            assert len(numbers) == 1 + (row.demonstrated and paper == "metaicl")


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


def test_an_example_is_cut_so_that_it_has_the_papers_tokens():
    tokenizer = tiny_tokenizer()  # a token a byte
    example = Example("x" * 300, "praise", tuple(LABELS))
    short = Example("short", "praise", tuple(LABELS))
    task = Task("mood", "classification", lambda split: [example, short], labels=tuple(LABELS))
    first, second = cut(task, tokenizer, 256).examples("train")
    assert len(first.input) == 256 - 2 - len("\ncomplaint") and second == short
    assert cut(task, tokenizer, 0) is task


def test_scores_are_the_papers():
    options = ["a", "b"]
    answers = [Prediction("q", options, [0.9, 0.1], "a", truth) for truth in "aab"]
    labelled = Task("t", "classification", lambda split: [], labels=("a", "b"))
    assert metaicl(labelled, answers) == pytest.approx((0.8 + 0) / 2)
    assert metaicl(Task("t", "multiple_choice", lambda split: []), answers) == pytest.approx(2 / 3)
    scores = [Prediction("q", options, [0.0, s], "a", t) for s, t in ((0.1, "a"), (0.4, "a"), (0.35, "b"), (0.8, "b"))]
    assert auc_roc(labelled, scores) == pytest.approx(0.75)  # scikit-learn's own example
    with pytest.raises(UserError, match="all queries have the same answer"):
        auc_roc(labelled, scores[:2])


def test_means_are_taken_over_seeds_and_then_over_tasks():
    published = Published.read("metaicl")
    row = row_of(published.rows["MetaICL"], [43.2, 41.6], {"a": {"1": 10.0, "2": 30.0}, "b": {"1": 50.0, "2": 40.0}})
    assert (row.mean, row.worst) == (32.5, 25.0)
    assert "| MetaICL | 43.2/41.6 | 32.5/25.0 | -10.7 | 2 |" in markdown(published, "hr_to_lr", [row], "tiny", [])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"setting": "hr_to_hr"}, "MetaICL has no setting 'hr_to_hr'"),
        ({"rows": ["Metaicl"]}, "MetaICL has no row 'Metaicl'.*Did you mean MetaICL"),
        ({"weights_of": {"0-shot": "model.pt"}}, "weights of a row that none are read for: '0-shot'"),
        ({"weights_of": {"MetaICL": "nowhere.pt"}, "rows": ["MetaICL"]}, "no file of weights"),
        ({"setting": "class_to_class"}, "target tasks of class_to_class are not there"),
        ({"paper": "metaicle"}, "no protocol of the paper 'metaicle'"),
    ],
)
def test_a_mistake_is_named_before_anything_is_trained(data, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        reproduce_run(asked(data, tmp_path / "run", **{"rows": ["0-shot"], **changes}), lambda text: None)
    assert not (tmp_path / "run" / "trained").exists()


def test_a_train_file_of_another_size_than_k_is_refused(data, tmp_path):
    folder = write(tmp_path, {"config/hr_to_lr.json": {"train": [], "test": ["mood"]}})
    for part in ("train", "test"):
        write(folder, {f"data/mood/mood_16_100_{part}.jsonl": lines("mood", part, 15)})
    with pytest.raises(UserError, match=r"train file of seed 100 has 15 examples.*k=16"):
        held_out_tasks(Published.read("metaicl"), asked(folder, Path("unused"), seeds=1), tiny_tokenizer())


def test_meta_training_reads_the_settings_training_tasks(data):
    suite = training_suite(Published.read("metaicl"), asked(data, Path("unused")), tiny_tokenizer())
    assert [task.name for task in suite.split("meta_train")] == ["race-high", "sky"]


def test_the_command_prints_the_table(data, tmp_path, capsys):
    main(
        ["reproduce", "metaicl", "--setting", "hr_to_lr", "--data", str(data), "--rows", "0-shot", "--seeds", "1",
         "--model", "tiny-random", "--dtype", "float32", "--queries", "3", "--output_dir", str(tmp_path / "run")]
    )  # fmt: skip
    said = capsys.readouterr().out
    assert "| 0-shot | 34.9 | " in said and "At most 3 queries of each task were answered." in said
