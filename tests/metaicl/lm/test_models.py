"""The door to base models: by a name, a folder or a hub, or one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest
from backbones import tiny_config
from huggingface_hub.errors import LocalEntryNotFoundError

from metaicl.lm import models
from metaicl.lm.backbone import Backbone
from metaicl.methods import method_class
from task_suites.core.errors import UserError


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("METAICL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("smollm2-135M", "Did you mean smollm2-135m"),
        ("./nowhere", "no folder .*/nowhere"),
        ("a/b/c", "no folder .*/a/b/c"),
    ],
)
def test_names_that_lead_nowhere_are_one_clear_error(cache, name, message):
    with pytest.raises(UserError, match=message):
        models.resolve(name)


def test_a_run_that_is_named_without_its_folder_is_found(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"no folder runs/mine; .*There is no folder runs here"):
        models.resolve("runs/mine")
    for name in ("mine", "quick/mine"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text("{}")
        for lookup in (models.resolve, method_class):
            with pytest.raises(UserError, match=f"Did you mean the run runs/{name}"):
                lookup(name)


def test_a_hub_that_cannot_be_reached_is_asked_once(cache, monkeypatch):
    asked = []

    def fail(name, file):
        asked.append(name)
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    with pytest.raises(UserError, match="no model 'owner/name' in the hub's cache, and the hub cannot be reached"):
        models.kind_of("owner/name")
    assert asked == ["owner/name"]


def test_a_folder_without_a_model_is_one_clear_error(tmp_path):
    with pytest.raises(UserError, match="no model in folder"):
        models.resolve(str(tmp_path))


def test_any_saved_folder_comes_through_the_same_door(tmp_path):
    from metaicl.lm.tiny import tiny_model, tiny_tokenizer

    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    backbone = Backbone.load(tiny_config(model=str(tmp_path), weights="frozen"))
    again = Backbone.load(tiny_config(weights="frozen"))
    ids = again.encode("the same text")
    assert backbone.encode("the same text") == ids
    assert (backbone.plain_logits(ids) == again.plain_logits(ids)).all()


@pytest.mark.slow
@pytest.mark.real_model
def test_the_default_model_completes_a_fact_and_saves_as_an_ordinary_folder(real_model):
    folder = models.local_folder(real_model)
    assert (folder / "model.safetensors").is_file() and "quantization_config" not in (
        folder / "config.json"
    ).read_text()
    backbone = Backbone.load(tiny_config(model=real_model, weights="frozen", dtype="bfloat16"))
    logits = backbone.plain_logits(backbone.encode("The capital of France is"))
    assert backbone.tokenizer.decode([int(logits[-1].argmax())]) == " Paris"
    assert backbone.attention == "tree"


@pytest.mark.slow
@pytest.mark.real_model
def test_tree_scores_of_the_default_model_equal_its_plain_sequences_in_float32(real_model):
    from plain_scores import plain_score
    from toys import toy_task

    from metaicl.methods.scoring import PromptScorer
    from task_suites.episodes import EpisodeSampler
    from task_suites.formats.prompt_format import PromptFormat

    backbone = Backbone.load(tiny_config(model=real_model, weights="frozen"))
    e = EpisodeSampler(0, 4, 3).draw(toy_task(), "test", 0)
    found = PromptScorer(backbone, PromptFormat(), e.task, e.support).scores(e.queries)
    for query, scores in zip(e.queries, found, strict=True):
        expected = [plain_score(backbone, PromptFormat(), e.task, e.support, query, o) for o in query.options]
        assert scores == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("held", ["method.json", "config.json", "adapter_config.json", None])
def test_the_best_weights_of_a_run_are_named_only_where_they_open(tmp_path, held):
    (tmp_path / "best").mkdir()
    if held:
        (tmp_path / "best" / held).write_text("{}")
    with pytest.raises(UserError, match="no model in folder") as raised:
        models.resolve(str(tmp_path))
    assert ("best weights" in str(raised.value)) == (held in ("method.json", "config.json"))
