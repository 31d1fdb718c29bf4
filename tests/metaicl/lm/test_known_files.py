"""Weights that were found finite are not read again while their files stay as they are, and always after that."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from metaicl.lm import known_files, weights
from metaicl.lm.loading import open_model
from task_suites.core.errors import UserError


@pytest.fixture(autouse=True)
def small_ones_too(monkeypatch) -> None:
    """Also small models are noted."""
    monkeypatch.setattr(known_files, "LEAST", 1)


@pytest.fixture
def reads(monkeypatch) -> list[int]:
    """How many tensors were read at each reading."""
    found: list[int] = []
    plain = weights.not_finite
    monkeypatch.setattr(weights, "not_finite", lambda tensors: (found.append(len(tensors)), plain(tensors))[1])
    return found


def notes(folder: Path) -> list[Path]:
    return list((folder.parent / "cache").rglob("finite/*.json"))


def broken(folder: Path, keep_times: bool = False) -> None:
    path = folder / "model.safetensors"
    before, tensors = path.stat(), load_file(path)
    name = next(iter(tensors))
    tensors[name][...] = float("nan")
    save_file(tensors, path, {"format": "pt"})
    if keep_times:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_weights_are_read_once_for_each_type_and_again_where_their_files_changed(folder, reads):
    for dtype in (torch.float32, torch.float32, torch.bfloat16, torch.bfloat16):
        open_model(str(folder), dtype)
    assert len(reads) == 2 and len(notes(folder)) == 2
    (folder / "model.safetensors").touch()
    open_model(str(folder), torch.float32)
    shutil.copytree(folder, folder.parent / "copy")
    open_model(str(folder.parent / "copy"), torch.float32)
    assert len(reads) == 4


@pytest.mark.parametrize("keep_times", [False, True], ids=["as written", "with the times set back"])
def test_damage_after_a_note_is_refused_and_leaves_no_note(folder, keep_times):
    open_model(str(folder), torch.float32)
    broken(folder, keep_times)
    for _ in range(2):
        with pytest.raises(UserError, match="1 not finite"):
            open_model(str(folder), torch.float32)
    assert len(notes(folder)) == 1


def test_a_cache_that_cannot_be_written_and_small_files_cost_a_reading_each_time(folder, reads, monkeypatch):
    (folder.parent / "cache.file").write_text("no folder")
    monkeypatch.setenv("METAICL_CACHE", str(folder.parent / "cache.file" / "inside"))
    for _ in range(2):
        open_model(str(folder), torch.float32)
    monkeypatch.setenv("METAICL_CACHE", str(folder.parent / "other"))
    monkeypatch.setattr(known_files, "LEAST", 1 << 24)
    open_model(str(folder), torch.float32)
    assert len(reads) == 3 and not list(folder.parent.rglob("finite"))
