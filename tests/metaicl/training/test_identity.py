"""A run is continued only if it is the same run; a refused one leaves the folder as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from backbones import tiny_config
from helpers import make_folder, rows, write_task
from hypothesis import given
from hypothesis import strategies as st

from eval.answering import make_validate
from metaicl.cli.main import main
from metaicl.training.checkpoint import load_method, read_training
from metaicl.training.config import TrainerConfig, TrainRun, ValidationConfig
from metaicl.training.identity import (
    FREE,
    adds_steps,
    changed_surroundings,
    differences,
    earlier_run,
    identity_of,
    read_record,
    table,
)
from metaicl.training.resolved import resolved
from metaicl.training.run import train_run
from metaicl.training.trainer import Trained
from task_suites.core.errors import UserError
from task_suites.provenance import data_record
from task_suites.sources import SuiteConfig

SMALL = TrainerConfig(max_steps=2, k=2, queries=2, warmup_steps=1, logging_steps=1, eval_steps=2, save_steps=1)
TOYS = SuiteConfig(["toys:toy_suite"], min_train=1, min_test=1)


def a_run(output: Path, **changes: Any) -> TrainRun:
    validation = ValidationConfig(k=2, queries=2)
    method, place = changes.get("method", "metaicl"), changes.pop("place", "")
    run = TrainRun(suite=TOYS, backbone=tiny_config(), trainer=SMALL, validation=validation, progress=False)
    return replace(run, output_dir=str(output / (place or method)), **changes)


def trained(run: TrainRun, **more: Any) -> Trained:
    return train_run(run, make_validate, lambda text: None, **more)[1]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """What lies in a folder of runs: its bytes, and when it was written (a lock comes and goes beside it)."""
    return {
        str(p.relative_to(folder)): (p.read_bytes() if p.is_file() else b"", p.stat().st_mtime_ns)
        for p in folder.rglob("*")
    }


def identity(run: TrainRun) -> dict[str, Any]:
    suite, _ = run.suite.open()
    return identity_of(run, suite, data_record(suite.tasks.values()))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A folder of runs with the finished run `metaicl`; tests leave it as it is."""
    output = tmp_path_factory.mktemp("runs")
    trained(a_run(output))
    return output


# -- what a run is ---------------------------------------------------------------------------------------------------

OTHER = {
    "optim": "adamw_8bit",
    "adam_beta2": 0.9,
    "mixing": "proportional",
    "lr_scheduler_type": "cosine",
    "weights": "full",
    "target_modules": "query-value",
    "dtype": "bfloat16",
    "attn_implementation": "dense",
    "device": "cpu:0",
    "revision": "v2",
    "quantization": "8bit",
    "answer": " ->",
    "separator": "\n",
    "choices": "letters",
    "label_words": "shuffled",
    "tagging": "inline",
    "instruction_style": "definition",
    "verbalizer": {"fruit": "sweet"},
    "templates": {"mine": "{{ input }} ||| {{ answer }}"},
    "eval_steps": 1,
}
PAIRED = {
    "format.template": {"templates": OTHER["templates"], "template": "mine"},
    "mixing_weights": {"mixing": "weights", "mixing_weights": {"train0": 1.0}},
}
ELSEWHERE = {"model", "target", "seed_of", "mixing_weights_by"}  # changed in tests of their own


def changed(value: Any, name: str) -> Any:
    if name in OTHER:
        return OTHER[name]
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return type(value)(value + 1) if value != 0.25 and value != 0.5 else value / 2
    raise AssertionError(f"say in OTHER what else {name} may be than {value!r}")


def single_changes() -> Iterator[Any]:
    run = resolved(a_run(Path()))
    for part in ("trainer", "backbone", "format", "validation"):
        whole = getattr(run, part)
        assert is_dataclass(whole)
        for field in fields(whole):
            if field.name not in ELSEWHERE:
                yield pytest.param(part, field.name, id=f"{part}.{field.name}")


@pytest.mark.parametrize(("part", "name"), list(single_changes()))
def test_every_option_is_part_of_the_run_but_those_that_change_no_result(part, name):
    run = resolved(a_run(Path()))
    whole = getattr(run, part)
    before = {"format": "format.", "validation": "validation_"}.get(part, "")
    new = PAIRED.get(f"{before}{name}") or {name: changed(getattr(whole, name), name)}
    other = replace(run, **{part: replace(whole, **new)})
    found = differences(identity(run), identity(other))
    assert set(found) == (set() if f"{before}{name}" in FREE else {f"{before}{n}" for n in new})


def test_a_folder_that_holds_a_comparison_is_not_offered_for_deletion(tmp_path):
    for name in ("config.yaml", "results.json"):
        (tmp_path / name).write_text("")
    assert earlier_run(tmp_path, {}) == f"{tmp_path} holds a comparison. Give this run another --output_dir."


def test_options_of_one_thing_stand_together_where_two_runs_differ():
    then, now = {"format.a": 1, "k": 2, "gone.b": 1}, {"format.c": 1, "k": 1, "gone.a": 2}
    assert list(differences(then, now)) == ["format.c", "format.a", "k", "gone.a", "gone.b"]


def test_method_options_model_and_tasks_are_part_of_the_run(tmp_path):
    run = a_run(Path())
    now = identity(run)
    assert now["method_options.objective"] == "options"  # the registry's own, resolved
    other = identity(replace(run, method_options={"objective": "tokens"}))
    assert list(differences(now, other)) == ["method_options.objective"]
    assert not differences(now, identity(replace(run, method_options={"objective": "options"})))
    assert {"method", "format.instruction"} <= set(differences(now, identity(replace(run, method="ict"))))
    folder = make_folder(tmp_path)
    before = identity(replace(run, suite=SuiteConfig([str(folder)])))
    assert before["task.mood"].startswith("meta_train ")
    shutil.copytree(folder, tmp_path / "elsewhere")
    assert before == identity(replace(run, suite=SuiteConfig([str(tmp_path / "elsewhere")])))
    sides = tmp_path / "sides.json"
    sides.write_text('{"name": "other", "meta_train": ["topic", "taste"], "meta_test": ["mood"]}')
    swapped = identity(replace(run, suite=SuiteConfig([str(folder)], split=str(sides))))
    assert list(differences(before, swapped)) == ["task.mood", "task.taste", "task.topic"]
    write_task(folder, "taste", {"instruction": "Say how it tastes."})
    write_task(folder, "topic", test=[*rows("topic", "test"), {"input": "new", "output": "good"}])
    after = identity(replace(run, suite=SuiteConfig([str(folder)])))
    assert list(differences(before, after)) == ["task.taste", "task.topic"]


def test_the_weights_of_the_base_model_are_part_of_the_run_under_one_name(tmp_path):
    from metaicl.lm.tiny import tiny_model, tiny_tokenizer

    def now() -> dict[str, Any]:
        return identity(a_run(Path(), backbone=tiny_config(model=str(tmp_path / "model"))))

    for seed in (0, 1):
        tiny_model(seed).save_pretrained(tmp_path / "model")
        tiny_tokenizer().save_pretrained(tmp_path / "model")
        if seed == 0:
            first = now()
            assert first == now()
    assert list(differences(first, now())) == ["model.sha256"]


# -- another run is refused ------------------------------------------------------------------------------------------

OTHERS = [
    {"method": "ict", "place": "metaicl"},
    {"trainer": replace(SMALL, learning_rate=0.5)},
    {"trainer": replace(SMALL, max_steps=4)},
    {"trainer": replace(SMALL, seed=1)},
    {"backbone": tiny_config(lora_r=2)},
    {"validation": ValidationConfig(k=1, queries=2)},
    {"suite": replace(TOYS, tasks=["train0", "train1", "val", "test0"])},
]


@pytest.mark.parametrize("changes", OTHERS, ids=lambda changes: next(iter(changes)))
def test_a_refused_run_leaves_the_folder_as_it_was(finished, changes):
    before = contents(finished)
    with pytest.raises(UserError, match="holds another run than this one") as refused:
        trained(a_run(finished, **changes))
    assert contents(finished) == before
    assert "--output_dir" in str(refused.value) and "--no-resume" in str(refused.value)


def test_the_refusal_is_a_table_of_what_differs(finished):
    with pytest.raises(UserError) as refused:
        trained(a_run(finished, place="metaicl", method="ict", trainer=replace(SMALL, learning_rate=0.5)))
    cells = [line.split() for line in str(refused.value).splitlines()]
    assert ["option", "then", "now"] in cells
    assert ["method", "metaicl", "ict"] in cells and ["learning_rate", "0.001", "0.5"] in cells


def test_a_run_that_goes_on_with_other_versions_says_so():
    then = {"python": "3.11.7", "versions": {"torch": "2.8.0", "peft": "0.17"}, "machine": "one"}
    assert changed_surroundings(then, {**then, "versions": {**then["versions"], "new": "1"}}) is None
    now = {"python": "3.12.1", "versions": {"torch": "2.9.0", "peft": "0.17"}, "machine": "one"}
    said = changed_surroundings(then, now)
    assert said and "began with python 3.11.7, torch 2.8.0, and goes on with python 3.12.1, torch 2.9.0" in said
    assert changed_surroundings({}, now) is None  # an old record says nothing


def test_a_continued_training_reports_other_versions(tmp_path):
    longer = replace(SMALL, max_steps=3, lr_scheduler_type="constant", weight_averaging=0.0, eval_steps=0)
    trained(a_run(tmp_path, trainer=replace(longer, max_steps=2)))
    path = tmp_path / "metaicl" / "run.json"
    record = json.loads(path.read_text())
    record["manifest"]["versions"]["torch"] = "0.1"
    path.write_text(json.dumps(record))
    said: list[str] = []
    train_run(a_run(tmp_path, trainer=longer), make_validate, said.append)
    assert any("The run began with torch 0.1, and goes on with torch" in line for line in said)


@given(st.text(min_size=1), st.text(min_size=1), st.integers(0, 12))
def test_a_table_shows_the_difference_of_any_two_values(then, now, number):
    shared = "x" * 200
    differing = {f"option{i}": (shared + then + shared, shared + now + shared) for i in range(number)}
    lines = table({"first": (f"{shared}a", f"{shared}b"), **differing}).split("\n")
    assert lines[1].split()[1] != lines[1].split()[2]
    assert (number > 7) == lines[-1].startswith("  and ")


def test_the_ways_out_work(finished, tmp_path):
    output = tmp_path / "runs"
    shutil.copytree(finished, output)
    before = contents(output / "metaicl")
    other = a_run(output, trainer=replace(SMALL, learning_rate=0.5))
    trained(replace(other, output_dir=str(output / "another")))
    assert contents(output / "metaicl") == before
    trained(replace(other, resume=False))
    moved = contents(output / "metaicl.earlier-1")
    assert {name: data for name, (data, _) in moved.items()} == {name: data for name, (data, _) in before.items()}
    assert read_record(output / "metaicl").identity["learning_rate"] == 0.5
    shutil.rmtree(output / "metaicl")
    trained(a_run(output))
    assert read_record(output / "metaicl").identity["learning_rate"] == SMALL.learning_rate


@pytest.mark.parametrize("held", ["config.yaml", "best", "checkpoints", "metrics.jsonl"])
def test_a_folder_that_does_not_say_what_it_holds_is_not_written_into(tmp_path, held):
    (tmp_path / "metaicl").mkdir()
    (tmp_path / "metaicl" / held).write_text("mine")
    before = contents(tmp_path)
    with pytest.raises(UserError, match=rf"holds {held}, but no run.json.*--output_dir"):
        trained(a_run(tmp_path))
    assert contents(tmp_path) == before
    trained(a_run(tmp_path), other_aside=True)
    assert (tmp_path / "metaicl.earlier-1" / held).read_text() == "mine"


def test_a_record_that_cannot_be_read_is_one_clear_error(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "runs")
    (tmp_path / "runs" / "metaicl" / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run.json: not the record of a run.*another --output_dir"):
        trained(a_run(tmp_path / "runs"))


def test_two_methods_train_side_by_side_under_their_own_names(tmp_path, capsys, monkeypatch):
    words = ["train", "--suite", "toys:toy_suite", "--max_steps", "1"]
    words += ["--k", "2", "--queries", "2", "--model", "tiny-random", "--no-progress"]
    monkeypatch.chdir(tmp_path)
    main(words)
    main([*words, "--method", "ict"])
    assert [read_record(tmp_path / "runs" / name).identity["method"] for name in ("metaicl", "ict")] == [
        "metaicl",
        "ict",
    ]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main([*words, "--method", "ict", "--run_name", "metaicl"])
    assert "holds another run than this one" in capsys.readouterr().err
    assert TrainRun(method="package.module:Mine").folder == Path("runs/Mine")


# -- the same run ----------------------------------------------------------------------------------------------------


def test_a_finished_run_is_not_trained_again(finished):
    before = contents(finished)
    first = read_record(finished / "metaicl").finished
    again = trained(
        a_run(finished, trainer=replace(SMALL, logging_steps=2))
    )  # how often is logged is not part of the run
    assert contents(finished) == before
    assert (again.steps, again.best_step, again.best_value) == (first.steps, first.best_step, first.best_value)
    method, _ = train_run(a_run(finished), make_validate, lambda text: None)
    saved = load_method(finished / "metaicl" / "best").learned()
    assert all((p == saved[name]).all() for name, p in method.learned().items())


def test_a_finished_run_whose_weights_are_gone_is_finished_again(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "runs")
    best = tmp_path / "runs" / "metaicl" / "best"
    before = {p.name: p.read_bytes() for p in best.iterdir()}
    shutil.rmtree(best)
    trained(a_run(tmp_path / "runs"))
    assert {p.name: p.read_bytes() for p in best.iterdir()} == before


def test_a_run_that_cannot_go_on_from_its_checkpoint_leaves_the_folder_as_it_was(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "runs")
    shutil.rmtree(tmp_path / "runs" / "metaicl" / "best")
    checkpoint = tmp_path / "runs" / "metaicl" / "checkpoints" / "step-000002"
    (checkpoint / "optimizer.bin").write_bytes(b"")
    before = contents(tmp_path / "runs")
    with pytest.raises(UserError, match=r"found another optimizer\.bin"):
        trained(a_run(tmp_path / "runs"))
    assert contents(tmp_path / "runs") == before


def test_more_steps_of_one_run_end_where_the_longer_run_does(tmp_path):
    longer = replace(SMALL, max_steps=4, lr_scheduler_type="constant", weight_averaging=0.0)
    trained(a_run(tmp_path / "straight", trainer=longer))
    trained(a_run(tmp_path / "twice", trainer=replace(longer, max_steps=2)))
    trained(a_run(tmp_path / "twice", trainer=longer))
    assert read_record(tmp_path / "twice" / "metaicl").finished.steps == 4
    one, other = (
        {p.name: p.read_bytes() for p in (tmp_path / name / "metaicl" / "best").iterdir()}
        for name in ("straight", "twice")
    )
    cards = [json.loads(files.pop("method.json")) for files in (one, other)]
    assert cards[0]["training"]["run"]["max_steps"] == 4 and one == other


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({}, True),
        ({"lr_scheduler_type": "linear"}, False),
        ({"lr_scheduler_type": "cosine"}, False),
        ({"weight_averaging": 0.1}, False),
        ({"eval_steps": 3}, False),  # the shorter run was validated at its end, out of turn
        ({"eval_steps": 5}, True),
        ({"max_steps": 9}, False),
        ({"learning_rate": 1.0}, False),
    ],
    ids=str,
)
def test_more_steps_are_the_same_run_where_nothing_depended_on_their_number(changes, allowed):
    short = TrainerConfig(max_steps=10, lr_scheduler_type="constant", weight_averaging=0.0)
    whole = replace(short, max_steps=20)
    both = {name: value for name, value in changes.items() if name not in ("max_steps", "learning_rate")}
    then = identity(a_run(Path(), trainer=replace(short, **both)))
    now = identity(a_run(Path(), trainer=replace(whole, **{**both, **changes})))
    assert adds_steps(then, now, differences(then, now)) == allowed


# -- what a trained method says of itself ----------------------------------------------------------------------------


def test_a_trained_method_says_what_it_was_trained_on(finished):
    training = read_training(finished / "metaicl" / "best")
    assert set(training.trained_on) == {"train0", "train1", "train2"}
    assert set(training.data) == set(TOYS.open()[0].tasks)
    assert training.run == read_record(finished / "metaicl").identity


def test_a_method_on_a_trained_base_says_what_both_were_trained_on(tmp_path):
    first = a_run(tmp_path, place="base", backbone=tiny_config(weights="full"))
    trained(replace(first, suite=replace(TOYS, tasks=["train0", "val", "test0"])))
    base = tmp_path / "base" / "best"
    second = a_run(tmp_path, place="second", backbone=tiny_config(model=str(base)))
    trained(replace(second, suite=replace(TOYS, tasks=["train1", "val", "test0"])))
    assert set(read_training(tmp_path / "second" / "best").trained_on) == {"train0", "train1"}
