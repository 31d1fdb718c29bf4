"""A value that the user gives is the one that runs; one that cannot run is refused before anything is written."""

from __future__ import annotations

import json

import pytest
from backbones import tiny_config

from metaicl.cli.main import main
from metaicl.lm.backbone import Backbone
from metaicl.training.identity import RUN

TRAIN = [
    "train",
    "--model",
    "tiny-random",
    "--max_steps",
    "1",
    "--no-progress",
]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--run_name", ".."], "run_name leads out of the folder of runs"),
        (["--run_name", "."], "run_name leads out of the folder of runs"),
        (["--run_name", "a/../.."], "run_name leads out of the folder of runs"),
        (["--run_name", "/elsewhere"], "run_name leads out of the folder of runs"),
        (["--device", "gpu"], "no device 'gpu' here"),
        (["--device", "cuda:99"], "no device 'cuda:99' here"),
        (["--target_modules", "q_proj,nope"], "has no module 'nope'"),
        (["--target_modules", ""], "has no module ''"),
        (["--seed", "99999999999999999999"], "seed must be between"),
        (["--method", "icl"], "method icl is not meta-trained"),
        (["--method", "knn"], "method knn is not meta-trained"),
        (["--method", "os.path:join"], "os.path:join is not a method; expected a subclass"),
    ],
)
def test_a_value_that_cannot_run_is_refused_before_anything_is_written(tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([*TRAIN, *options])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_each_module_that_is_named_gets_adapters_whatever_blanks_are_around_its_name():
    model = Backbone.load(tiny_config(target_modules=" q_proj , v_proj"), 0).model
    adapted = {name.split(".lora_A")[0].rpartition(".")[2] for name, _ in model.named_modules() if ".lora_A" in name}
    assert adapted == {"q_proj", "v_proj"}


@pytest.mark.parametrize("record", ["[]", "{", '{"identity": {}}', "RECORD"])
def test_a_record_that_is_none_is_refused_with_its_file(tmp_path, monkeypatch, capsys, record):
    monkeypatch.chdir(tmp_path)
    whole = {"identity": {}, "data": {}, "manifest": {}, "inherited": {}, "finished": None}
    (tmp_path / "runs" / "a").mkdir(parents=True)
    path = tmp_path / "runs" / "a" / RUN
    path.write_text(json.dumps(whole) if record == "RECORD" else record)
    with pytest.raises(SystemExit) as stop:
        main([*TRAIN, "--run_name", "a"])
    assert stop.value.code == 2
    assert "runs/a/run.json: not the record of a run" in capsys.readouterr().err
