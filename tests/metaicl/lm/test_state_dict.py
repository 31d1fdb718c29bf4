"""A published state dict becomes a folder that opens as a model; a file that is not one is refused."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from metaicl.lm.loading import open_model
from metaicl.lm.state_dict import model_folder
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from task_suites.core.errors import UserError


def saved(path: Path, **changes: object) -> Path:
    torch.save({**tiny_model(seed=3).state_dict(), **changes}, path)
    return path


def test_the_folder_has_the_weights_of_the_file(tmp_path):
    folder = model_folder(saved(tmp_path / "model.pt"), "tiny-random", tmp_path / "made")
    model, tokenizer = open_model(str(folder), torch.float32)
    for name, value in tiny_model(seed=3).state_dict().items():
        assert torch.equal(model.state_dict()[name], value)
    assert tokenizer.get_vocab() == tiny_tokenizer().get_vocab()
    before = (folder / "config.json").stat().st_mtime_ns
    assert model_folder(tmp_path / "gone.pt", "tiny-random", folder) == folder  # it is not made again
    assert (folder / "config.json").stat().st_mtime_ns == before


def test_masks_that_transformers_once_stored_and_the_prefix_of_several_processes_are_taken_off(tmp_path):
    weights = tiny_model(seed=3).state_dict()
    mask = {"transformer.h.0.attn.bias": torch.ones(1), "transformer.h.0.attn.masked_bias": torch.ones(1)}
    torch.save({f"module.{name}": value.half() for name, value in weights.items()} | mask, tmp_path / "model.pt")
    folder = model_folder(tmp_path / "model.pt", "tiny-random", tmp_path / "made")
    model, _ = open_model(str(folder), torch.float32)
    name, value = next(iter(weights.items()))
    torch.testing.assert_close(model.state_dict()[name], value.half().float())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model.norm.weight": torch.ones(5)}, r"1 wrong shape \(model.norm.weight \[5\], not \[32\]\)"),
        ({"further": torch.ones(1)}, r"1 unexpected \(further\)"),
        ({"model.norm.weight": torch.full((32,), float("nan"))}, "1 not finite"),
    ],
)
def test_other_weights_than_the_models_are_refused(tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        model_folder(saved(tmp_path / "model.pt", **changes), "tiny-random", tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_a_file_that_would_run_code_is_not_read(tmp_path):
    class Harm:
        def __reduce__(self):
            return exec, ("raise SystemExit('run')",)

    (tmp_path / "model.pt").write_bytes(pickle.dumps({"weight": Harm()}))
    with pytest.raises(UserError, match="the weights are incomplete or damaged"):
        model_folder(tmp_path / "model.pt", "tiny-random", tmp_path / "made")


def test_a_file_that_is_missing_or_no_state_dict_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no file of weights.*model.pt"):
        model_folder(tmp_path / "model.pt", "tiny-random", tmp_path / "made")
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(UserError, match="not a state dict"):
        model_folder(tmp_path / "list.pt", "tiny-random", tmp_path / "made")
