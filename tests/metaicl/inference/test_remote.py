"""A model on a server gives the answers and scores that it gives in this process, for each calibration.

Both sides run in float32, and scores are printed with five decimals. They may differ by one unit of the last decimal,
and by float32's rounding in sums of some dozen log-probabilities: 5e-5 in all. The options lie further apart than that,
which is tested, so answers are equal. In bfloat16 scores differ by some 1e-3, and answers that are that close to each
other may swap ranks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from backbones import tiny_config
from completion_stand_in import standing_in
from services import opened_in_float32, served_on_loopback

from metaicl.inference import predicting
from metaicl.inference.config import PredictRun
from metaicl.inference.predicting import predicted
from metaicl.lm import served
from metaicl.lm.completion_server import CompletionServer
from metaicl.training.checkpoint import MethodConfig, save_method
from metaicl.training.export import export_model
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

KINDS = [("a fig", "fruit"), ("a saw", "tool"), ("a pear", "fruit"), ("an axe", "tool"), ("a plum", "fruit")]
DEMOS = [{"input": text, "output": kind} for text, kind in KINDS]
CHOICES = [{**demo, "options": ["fruit", "tool", f"neither {demo['input']}"]} for demo in DEMOS]
PAIRS = [{"input": word, "output": word[::-1]} for word in ("cat", "dog", "sun")]
TAGGED = [
    {"tokens": ["to", "Oslo"], "tags": ["O", "B-city"]},
    {"tokens": ["in", "Rome", "now"], "tags": ["O", "B-city", "O"]},
]
INPUTS = [{"input": text} for text in ("a lime", "a drill", "a melon", "a hammer")]
TOLERANCE = 5e-5


@pytest.fixture(autouse=True, scope="module")
def in_float32():
    with opened_in_float32(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(served, "NAMED_COST", 8)  # the tiny model has a token for each byte: answers are long
        yield


@pytest.fixture(scope="module")
def model(sharp_folder):
    return str(sharp_folder)


@pytest.fixture(scope="module")
def old_server(model):
    """One that knows no named tokens."""
    with standing_in(model, old=True) as one:
        yield one


def rows(folder, demos, inputs=INPUTS, **options):
    for name, lines in (("demos", demos), ("inputs", inputs)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return list(predicted(PredictRun(folder / "demos.jsonl", folder / "inputs.jsonl", **options)))


def check_same(here, there):
    """Both have the same answers, and scores that differ by rounding only."""
    assert [row["answer"] for row in here] == [row["answer"] for row in there]
    for a, b in zip(here, there, strict=True):
        assert a["scores"] == pytest.approx(b["scores"], rel=0, abs=TOLERANCE)
        best, second, *_ = sorted(a["scores"].values(), reverse=True)
        assert best - second > 10 * TOLERANCE  # else equal answers say nothing


CALIBRATIONS = [{"calibration": name} for name in ("none", "contextual", "pmi", "cross_fit")]
LENGTHS = [{"length": name} for name in ("sum", "token_mean", "character_mean")]


@pytest.mark.parametrize("length", LENGTHS, ids=lambda given: given["length"])
@pytest.mark.parametrize("calibration", CALIBRATIONS, ids=lambda given: given["calibration"])
def test_each_calibration_and_length_gives_the_scores_of_the_model_in_this_process(
    tmp_path, model, server, calibration, length
):
    given = {"model": model, "method": "icl", "method_options": {**calibration, **length}}
    here = rows(tmp_path, DEMOS, **given)
    check_same(here, rows(tmp_path, DEMOS, engine="vllm", server=server.address, **given))


@pytest.mark.parametrize("calibration", CALIBRATIONS, ids=lambda given: given["calibration"])
def test_a_server_that_knows_no_named_tokens_gives_the_same_scores(tmp_path, model, server, old_server, calibration):
    given = {"model": model, "method": "icl", "method_options": calibration, "engine": "vllm"}
    new, old = (rows(tmp_path, DEMOS, server=one.address, **given) for one in (server, old_server))
    check_same(new, old)
    assert any(body["logprob_token_ids"] != [1, 2] for body in server.bodies if "logprob_token_ids" in body)
    assert all(body["logprob_token_ids"] == [1, 2] for body in old_server.bodies if "logprob_token_ids" in body)


@pytest.mark.parametrize(
    ("method", "options", "demos"),
    [
        ("icl", {"shown": 2, "selection": "nearest", "calibration": "cross_fit"}, DEMOS),
        ("icl", {"shown": 3, "selection": "balanced"}, DEMOS),
        ("icl_pmi", {"prior_share": 0.5}, DEMOS),
        ("zero_shot", {"calibration": "contextual"}, DEMOS),
        ("icl", {"calibration": "cross_fit"}, CHOICES),
        ("icl", {"calibration": "cross_fit"}, DEMOS[:1] * 2 + DEMOS[1:2]),
    ],
    ids=["nearest", "balanced", "pmi", "zero_shot", "choices", "repeated"],
)
def test_each_way_to_choose_demonstrations_gives_the_same_scores(
    tmp_path, model, server, old_server, method, options, demos
):
    inputs = [{**line, "options": CHOICES[0]["options"]} for line in INPUTS] if demos is CHOICES else INPUTS
    given = {"model": model, "method": method, "method_options": options, "instruction": "Name the kind."}
    here = rows(tmp_path, demos, inputs, **given)
    for one in (server, old_server):
        check_same(here, rows(tmp_path, demos, inputs, engine="vllm", server=one.address, **given))


def trained(folder, model, name, form):
    """A trained method whose adapters differ from zero, and its model merged into a plain folder."""
    config = MethodConfig(name, {}, tiny_config(model=model, weights="lora"), form)
    method = config.build()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weights in method.learned().values():
            weights.add_(torch.randn(weights.shape, generator=generator) * 0.1)
    save_method(method, config, folder / "trained")
    return str(folder / "trained"), export_model(str(folder / "trained"), folder / "merged")


@pytest.mark.parametrize("name", ["metaicl", "metaicl_channel", "ict"])
def test_a_trained_method_answers_through_its_exported_model(tmp_path, model, name):
    form = PromptFormat(instruction=name == "ict", channel=name == "metaicl_channel")
    folder, merged = trained(tmp_path, model, name, form)
    given = {"model": folder, "instruction": "Name the kind." if form.instruction else ""}
    here = rows(tmp_path, DEMOS, **given)
    with standing_in(merged) as server:
        check_same(here, rows(tmp_path, DEMOS, engine="vllm", server=server.address, **given))
        named = [body for body in server.bodies if "logprob_token_ids" in body]
        assert len(named) > 1 or form.channel  # a channel prompt scores the whole query: one echo costs less


@pytest.mark.parametrize("demos", [PAIRS, TAGGED], ids=["text", "tags"])
def test_generated_text_is_that_of_the_model_in_this_process(tmp_path, model, server, demos):
    inputs = [{"tokens": ["from", "Turin"]}, {"tokens": ["at", "home"]}] if demos is TAGGED else INPUTS
    here = rows(tmp_path, demos, inputs, model=model)
    there = rows(tmp_path, demos, inputs, model=model, engine="vllm", server=server.address)
    assert [row["answer"] for row in here] == [row["answer"] for row in there]
    assert all(row["answer"] for row in here)


def test_an_explanation_is_that_of_the_model_in_this_process(tmp_path, model, server):
    given = {"model": model, "method": "icl", "explain": True}
    (here,) = rows(tmp_path, DEMOS[:3], INPUTS[:1], **given)
    (there,) = rows(tmp_path, DEMOS[:3], INPUTS[:1], engine="vllm", server=server.address, **given)
    changes = [[one["change"] for one in row["explanation"]] for row in (here, there)]
    assert len(changes[0]) == 3 and changes[0] == pytest.approx(changes[1], abs=TOLERANCE)


def test_an_interrupted_run_goes_on_with_another_server(tmp_path, model, server, old_server, monkeypatch):
    monkeypatch.setattr(predicting, "BATCH", 1)
    given = {"model": model, "method": "icl", "engine": "vllm"}
    expected = rows(tmp_path, DEMOS, INPUTS[:2], server=server.address, **given)
    paths = [tmp_path / name for name in ("demos.jsonl", "inputs.jsonl")]
    config = PredictRun(*paths, output=tmp_path / "out.jsonl", server=server.address, **given)
    begun = predicted(config)
    next(begun)
    begun.close()
    said: list[str] = []
    assert list(predicted(replace(config, server=old_server.address), said.append)) == expected
    assert said == ["1 answers are there already"]


def test_the_service_stands_in_as_well(tmp_path, model):
    """Our own service speaks the same protocol, but returns no token ids and takes no named tokens."""
    given = {"model": model, "method": "icl", "method_options": {"calibration": "cross_fit"}}
    here, texts = rows(tmp_path, DEMOS, **given), rows(tmp_path, PAIRS, model=model)
    with served_on_loopback(tmp_path, model=model) as address:
        remote = {"engine": "vllm", "server": f"{address}/v1"}
        check_same(here, rows(tmp_path, DEMOS, **given, **remote))
        assert texts == rows(tmp_path, PAIRS, model=model, **remote)


def test_a_method_that_needs_the_model_here_is_refused(tmp_path, model, server):
    remote = {"engine": "vllm", "server": server.address}
    for method in ("knn", "prefix_tuning", "ttt", "finetune", "auto"):
        with pytest.raises(UserError, match=f"{method} needs the model in this process"):
            rows(tmp_path, DEMOS, model=model, method=method, **remote)


def test_a_trained_method_that_learned_more_than_its_model_is_refused(tmp_path, model, server):
    folder, _ = trained(tmp_path, model, "metaicl", PromptFormat())
    (tmp_path / "trained" / "method.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="learned more than its model's weights"):
        rows(tmp_path, DEMOS, model=folder, engine="vllm", server=server.address)
    with pytest.raises(UserError, match="holds a trained method"):
        rows(tmp_path, DEMOS, model=folder, method="icl", engine="vllm", server=server.address)


def test_a_server_option_without_the_engine_is_refused(tmp_path):
    with pytest.raises(UserError, match="server is read only where the engine is vllm"):
        rows(tmp_path, DEMOS, server="http://127.0.0.1:8000/v1")
    with pytest.raises(UserError, match="server_model is read only where the engine is vllm"):
        rows(tmp_path, DEMOS, server_model="served")


def test_an_instruction_that_the_method_does_not_read_is_refused(tmp_path, model, server):
    folder, _ = trained(tmp_path, model, "metaicl", PromptFormat())
    with pytest.raises(UserError, match="an instruction is given"):
        rows(tmp_path, DEMOS, model=folder, engine="vllm", server=server.address, instruction="Name it.")
    assert CompletionServer(server.address).model == "served"
