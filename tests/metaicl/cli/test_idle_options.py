"""A value that nothing would read is refused, before anything is loaded or written; the same value is taken where
something reads it, and the commands' own defaults are taken everywhere."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from metaicl.cli.main import main, parse
from metaicl.training.config import TrainerConfig
from metaicl.training.idle_options import refuse_idle_training
from metaicl.training.resolved import resolved
from task_suites.core.errors import UserError
from task_suites.formats.presets import PRESETS
from task_suites.formats.prompt_format import PromptFormat, preset
from task_suites.sources import SuiteConfig

TINY = ["--model", "tiny-random", "--device", "cpu"]
TRAIN = ["train", *TINY, "--max_steps", "1", "--no-progress"]
EVALUATE = ["evaluate", *TINY, "--no-progress", "--methods", "icl"]
IDLE = [  # command, the option, what makes it read
    (TRAIN, ["--early_stopping_patience", "3"], ["--eval_steps", "5"]),
    (TRAIN, ["--mixing_temperature", "3"], ["--mixing", "temperature"]),
    ([*TRAIN, "--k", "1"], ["--curriculum_steps", "5"], ["--k", "4"]),
    (TRAIN, ["--validation_k", "4"], ["--eval_steps", "5"]),
    (TRAIN, ["--validation_seeds", "4"], ["--eval_steps", "5"]),
    (TRAIN, ["--allow", "a"], ["--split_file", "hr_to_lr"]),
    (TRAIN, ["--format", "instruction_style=definition"], ["--format", "definition"]),
    (TRAIN, ["--format", "explanations=true"], ["--format", "definition", "explanations=true"]),
    (TRAIN, ["--format", "seed=3"], ["--format", "random", "seed=3"]),
    ([*TRAIN, "--method", "metaicl_channel"], ["--format", "answer= ="], ["--method", "metaicl"]),
    ([*TRAIN, "--method", "protonet"], ["--lora_r", "3"], ["--method", "metaicl"]),
    ([*TRAIN, "--method", "protonet"], ["--gradient_checkpointing"], ["--method", "metaicl"]),
    ([*TRAIN, "--method", "protonet"], ["--arbitrary_labels", "0.9"], ["--method", "metaicl"]),
    ([*TRAIN, "--method", "protonet"], ["--format", "choices=letters"], ["--method", "metaicl"]),
    ([*TRAIN, "--weights", "full"], ["--lora_layers", "1"], ["--weights", "lora"]),
    (TRAIN, ["--lora_layers", "3"], None),
    (TRAIN, ["--method_options", '{"calibration": "none", "prior_share": 0.3}'], None),
    (EVALUATE, ["--highlight", "nobody"], None),
    (EVALUATE, ["--curve_seeds", "1"], ["--k", "2", "4"]),
    (["tune", *TINY, "--method", "knn"], ["--learning_rate", "0.5"], None),
    (["tune", *TINY, "--method", "knn"], ["--budget_seconds", "5"], None),
    (["suites", "list"], ["--json"], None),
    (["suites", "audit"], ["--to", "arrow"], None),
    (["suites", "split"], ["--model", "tiny-random"], None),
]


@pytest.mark.parametrize(("command", "option", "needed"), IDLE, ids=lambda v: " ".join(v or ())[-40:])
def test_an_option_that_changes_nothing_is_refused_before_anything_is_written(
    tmp_path, monkeypatch, capsys, command, option, needed
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([*command, *option])
    message = capsys.readouterr().err
    assert stop.value.code == 2
    assert ("prior_share" if "--method_options" in option else option[0].lstrip("-")) in message
    said = ("changes nothing without", "layers", "names none of the compared methods")
    assert any(words in message for words in said)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("command", "option", "needed"), [i for i in IDLE if i[2] and i[0][0] == "train"])
def test_the_same_option_is_taken_where_something_reads_it(command, option, needed):
    words = needed if needed[0] == option[0] == "--format" else [*option, *needed]  # a format is given whole
    _, run = parse([*command, *words])
    refuse_idle_training(run)
    assert resolved(resolved(run)) == resolved(run)


@pytest.mark.parametrize("name", PRESETS)
def test_a_format_of_a_name_has_no_field_that_nothing_reads_until_one_is_given(name):
    form = preset(name)
    form.check_idle()
    idle = (
        {"explanations": True}
        if form.instruction_style == "line"
        else {"answer": " ="}
        if form.templates
        else {"seed": 3}
    )
    with pytest.raises(UserError, match=next(iter(idle))):
        replace(form, **idle).check_idle()


def test_an_instruction_is_read_or_refused(tmp_path, capsys, monkeypatch):
    demos, inputs = tmp_path / "demos.jsonl", tmp_path / "inputs.jsonl"
    demos.write_text("".join(json.dumps({"input": f"t {i}", "output": "ab"[i % 2]}) + "\n" for i in range(4)))
    inputs.write_text('{"input": "u"}\n')
    files = ["predict", "--model", "tiny-random", "--demos", str(demos), "--inputs", str(inputs)]

    def answer(*words: str) -> str:
        main([*files, *words])
        return capsys.readouterr().out

    plain, one, lines = answer(), answer("--instruction", "Say it."), answer("--instruction", "Say it.\nOr not.")
    assert len({plain, one, lines}) == 3  # a line break in it is text like any other
    for words in (["--method", "knn"], ["--method", "majority"]):
        with pytest.raises(SystemExit):
            answer(*words, "--instruction", "Say it.")
        assert "does not read it: it reads no prompts. Leave it out." in capsys.readouterr().err


def test_a_value_that_equals_its_default_is_taken_and_another_is_refused():
    default = PromptFormat().positive
    PromptFormat(positive=default).check_idle()
    with pytest.raises(UserError, match="positive"):
        PromptFormat(positive=default + 1).check_idle()
    assert (
        TrainerConfig(mixing_temperature=2.0, early_stopping_patience=0) == TrainerConfig()
        and SuiteConfig(max_words=0) == SuiteConfig()
    )
