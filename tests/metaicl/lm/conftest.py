"""A small model in a folder, with a cache of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaicl.lm.tiny import tiny_model, tiny_tokenizer


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """A small model's folder, with a cache of its own."""
    monkeypatch.setenv("METAICL_CACHE", str(tmp_path / "cache"))
    tiny_model().save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    return tmp_path / "model"
