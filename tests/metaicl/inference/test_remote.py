"""A model behind `/v1/completions` gives the answers that it gives in this process; the stand-in is our own service."""

from __future__ import annotations

import json

import pytest
from services import process

from metaicl.inference.config import PredictRun
from metaicl.inference.predicting import predicted
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from task_suites.core.errors import UserError

DEMOS = [("a fig", "fruit"), ("a saw", "tool"), ("a pear", "fruit"), ("an axe", "tool")]
PAIRS = [("cat", "tac"), ("dog", "god")]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with process(tmp_path_factory.mktemp("server")) as (_, address):
        yield f"{address}/v1"


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    """The served model as a folder: only its tokenizer and configuration are read on this side."""
    folder = tmp_path_factory.mktemp("model")
    tiny_model().config.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def rows(folder, pairs, **options):
    (folder / "demos.jsonl").write_text("".join(json.dumps({"input": i, "output": o}) + "\n" for i, o in pairs))
    (folder / "inputs.jsonl").write_text('{"input": "a lime"}\n{"input": "a drill"}\n{"input": "a plum"}\n')
    return list(predicted(PredictRun(folder / "demos.jsonl", folder / "inputs.jsonl", **options)))


@pytest.mark.parametrize(
    ("method", "options"),
    [("icl", {}), ("icl_pmi", {}), ("icl", {"calibration": "cross_fit"}), ("zero_shot", {}), ("icl", {"shown": 2})],
    ids=["icl", "pmi", "cross_fit", "zero_shot", "shown"],
)
def test_scores_and_answers_are_those_of_the_model_in_this_process(tmp_path, server, model, method, options):
    given = {"method": method, "method_options": options, "instruction": "Name the kind."}
    here = rows(tmp_path, DEMOS, model="tiny-random", **given)
    there = rows(tmp_path, DEMOS, model=model, engine="vllm", server=server, **given)
    assert [row["answer"] for row in here] == [row["answer"] for row in there]
    for a, b in zip(here, there, strict=True):
        assert a["scores"] == pytest.approx(b["scores"], abs=2e-3)


def test_generated_text_is_that_of_the_model_in_this_process(tmp_path, server, model):
    here = rows(tmp_path, PAIRS, model="tiny-random")
    there = rows(tmp_path, PAIRS, model=model, engine="vllm", server=server)
    assert [row["answer"] for row in here] == [row["answer"] for row in there]


def test_a_server_that_is_not_there_and_a_method_that_needs_the_model_are_clear_errors(tmp_path, server, model):
    with pytest.raises(UserError, match="the server cannot be used"):
        rows(tmp_path, DEMOS, model=model, method="icl", engine="vllm", server="http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match="knn needs the model in this process"):
        rows(tmp_path, DEMOS, model=model, method="knn", engine="vllm", server=server)
    with pytest.raises(UserError, match=r"refused a request \(404\)"):
        rows(tmp_path, DEMOS, model=model, method="icl", engine="vllm", server=f"{server}/nowhere")
