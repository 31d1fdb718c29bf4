"""A trained method finds the base model that it was trained on, from any folder, and after both were moved."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from backbones import tiny_config
from helpers import make_folder

from metaicl.cli.main import main
from metaicl.lm.models import lasting_name
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from metaicl.training.checkpoint import MethodConfig, save_method
from metaicl.training.identity import read_record
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

TRAINING = [
    *("train", "--method", "metaicl", "--max_steps", "1", "--k", "2", "--queries", "2"),
    *("--suite", "../suite", "--model", "base", "--device", "cpu", "--no-progress"),
]
COMPARING = [
    *("evaluate", "--k", "2", "--seeds", "1", "--queries", "2", "--no-progress"),
]
LINES = '{"input": "a b", "output": "x"}\n{"input": "c d", "output": "y"}\n{"input": "e f", "output": "x"}\n'


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder `work` with a base model in it, which is the current one; a suite and a file of inputs beside it."""
    make_folder(tmp_path)
    (tmp_path / "demos.jsonl").write_text(LINES)
    (tmp_path / "inputs.jsonl").write_text('{"input": "g h"}\n')
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    tiny_model().save_pretrained("base")
    tiny_tokenizer().save_pretrained("base")
    return tmp_path / "work"


def predict(best: str, demos: Path) -> None:
    main(["predict", "--model", best, "--demos", str(demos / "demos.jsonl"), "--inputs", str(demos / "inputs.jsonl")])


@pytest.mark.parametrize("weights", ["lora", "full"])
def test_a_method_over_a_base_model_of_a_relative_path_is_used_from_any_folder(here, monkeypatch, capsys, weights):
    main([*TRAINING, "--weights", weights])
    (here.parent / "other").mkdir()
    monkeypatch.chdir(here.parent / "other")
    capsys.readouterr()
    predict("../work/runs/metaicl/best", here.parent)
    assert '"answer"' in capsys.readouterr().out
    main([*COMPARING, "--methods", "../work/runs/metaicl/best", "--suite", "../suite"])
    main([*TRAINING, "--model", "../work/base", "--weights", weights, "--output_dir", "../work/runs/metaicl"])
    assert "is finished" in capsys.readouterr().out  # the same run, by another relative path


@pytest.mark.parametrize("weights", ["lora", "full"])
def test_a_method_and_its_base_model_may_be_moved_together(here, monkeypatch, capsys, weights):
    main([*TRAINING, "--weights", weights])
    monkeypatch.chdir(here.parent)
    here.rename(here.parent / "moved")
    capsys.readouterr()
    predict("moved/runs/metaicl/best", here.parent)
    assert '"answer"' in capsys.readouterr().out


def test_a_fully_trained_model_needs_its_base_no_more(here, capsys):
    main([*TRAINING, "--weights", "full"])
    shutil.rmtree("base")
    predict("runs/metaicl", here.parent)
    main([*COMPARING, "--methods", '["runs/metaicl/best"]', "--suite", "../suite"])
    assert "refused" not in capsys.readouterr().out


def test_a_base_model_that_is_gone_is_named_with_its_places_and_the_way_out_works(here, monkeypatch, capsys):
    main(TRAINING)
    shutil.move("base", "elsewhere")
    shutil.copytree("runs/metaicl/best", "deep/er/copy/of/best")
    capsys.readouterr()
    for command in (["--methods", "deep/er/copy/of/best"], None):
        with pytest.raises(SystemExit) as stop:
            main([*COMPARING, *command, "--suite", "../suite"]) if command else predict(
                "deep/er/copy/of/best", here.parent
            )
        assert stop.value.code == 2
        message = capsys.readouterr().err
        assert f"found no folder {here / 'base'} and no folder {here / 'deep' / 'er' / 'base'}" in message
        assert re.search(r'as "model" under "backbone" in \S*deep/er/copy/of/best/method.json', message)
    card = here / "deep/er/copy/of/best/method.json"
    changed = json.loads(card.read_text())
    changed["backbone"]["model"] = str(here / "elsewhere")
    card.write_text(json.dumps(changed))
    predict("deep/er/copy/of/best", here.parent)
    assert '"answer"' in capsys.readouterr().out


def test_plain_peft_finds_the_base_model_from_any_folder(here, monkeypatch):
    from peft import AutoPeftModelForCausalLM

    config = MethodConfig("metaicl", {}, tiny_config(model="base"), PromptFormat())
    save_method(config.build(), config, Path("best"))
    monkeypatch.chdir(here.parent)
    assert AutoPeftModelForCausalLM.from_pretrained("work/best").get_base_model().config.hidden_size == 32


@pytest.mark.parametrize("name", ["smollm2-135m", "tiny-random"])
def test_a_name_of_the_registry_means_the_model_even_beside_a_folder_of_that_name(here, name):
    Path(name).mkdir()
    assert lasting_name(name) == name


def test_a_relative_path_that_leads_nowhere_is_answered_with_the_place_that_was_looked_at(here):
    with pytest.raises(UserError, match=f"no folder {here / 'nowhere'}; expected a folder saved by transformers"):
        MethodConfig("metaicl", {}, tiny_config(model="./nowhere"), PromptFormat()).build()


def test_a_run_records_the_place_of_its_base_model_for_any_working_directory(here):
    main(TRAINING)
    record = read_record(here / "runs" / "metaicl")
    assert record is not None and record.identity["model"] == str(here / "base")
