"""An exported model is loaded by plain transformers, and scores as the method that was trained."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from backbones import tiny_config
from toys import toy_suite

import metaicl
from metaicl.cli.main import main
from metaicl.lm.backbone import Backbone
from metaicl.training.export import export_model
from task_suites.core.errors import UserError

TRAINING = {"model": "tiny-random", "max_steps": 2, "k": 2, "queries": 2, "progress": False, "dtype": "float32"}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "run"
    return metaicl.train(toy_suite(), output_dir=folder, learning_rate=0.05, **TRAINING).folder


def test_plain_transformers_gives_the_trained_models_logits(run, tmp_path, capsys):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    main(["export", str(run), "--output_dir", str(tmp_path / "plain")])
    said = capsys.readouterr().out
    assert said.startswith(f"{tmp_path / 'plain'}: {run} in float32, ") and f"vllm serve {tmp_path / 'plain'}" in said
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "plain")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "plain")
    ids = tokenizer("a text to read", add_special_tokens=False).input_ids
    trained = Backbone.load(tiny_config(model=str(run / "best"), weights="frozen"))
    with torch.no_grad():
        found, untrained = plain(torch.tensor([ids])).logits[0], Backbone.load(tiny_config(weights="frozen"))
        assert np.allclose(found, trained.plain_logits(ids), atol=1e-5)
        assert not np.allclose(found, untrained.plain_logits(ids), atol=1e-3)
    assert not list((tmp_path / "plain").glob("adapter*")) and list((tmp_path / "plain").glob("*.safetensors"))


def test_weights_may_be_read_by_whom_any_other_file_may_be_read(run, tmp_path):
    (tmp_path / "plain").write_text("x")
    export_model(str(run), tmp_path / "exported")
    written = [*(tmp_path / "exported").iterdir(), *(p for p in (run / "best").rglob("*") if p.is_file())]
    assert {p.name for p in written} >= {"model.safetensors", "adapter_model.safetensors"}
    assert {p.stat().st_mode for p in written} == {(tmp_path / "plain").stat().st_mode}


def test_weights_are_written_in_the_type_that_is_given(run, tmp_path):
    from transformers import AutoModelForCausalLM

    export_model(str(run), tmp_path / "half", "bfloat16")
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "half", dtype="auto").dtype == torch.bfloat16


def test_a_folder_that_exists_and_a_sentence_encoder_are_refused(run, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="exists already"):
        export_model(str(run), tmp_path / "there")
    with pytest.raises(UserError, match="tiny-encoder is a sentence encoder"):
        export_model("tiny-encoder", tmp_path / "encoder")
    with pytest.raises(UserError, match=r"no folder .*nowhere"):
        export_model(str(tmp_path / "nowhere"), tmp_path / "nothing")
    assert not (tmp_path / "encoder").exists() and not (tmp_path / "nothing").exists()


def test_a_method_that_learned_more_than_the_models_weights_is_refused(tmp_path):
    run = metaicl.train(toy_suite(), method="tnet", output_dir=tmp_path / "tnet", **TRAINING).folder
    with pytest.raises(UserError, match="learned more than adapters"):
        export_model(str(run), tmp_path / "exported")
    assert not (tmp_path / "exported").exists()
