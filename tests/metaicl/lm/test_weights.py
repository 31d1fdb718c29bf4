"""A file of weights is taken whole or not at all, whichever kind of file it is and whatever is wrong with it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from backbones import tiny_config
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from training import CONFIG, make

from examples import examples
from metaicl.lm.backbone import Backbone
from metaicl.lm.models import resolve
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from metaicl.lm.weights import check_weights, not_finite, refuse_unless_whole
from metaicl.training import state
from metaicl.training.checkpoint import MethodConfig, load_method, load_weights, save_method
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

FAULTS = {  # a tensor that is tied is missing under both of its names
    "removed": "[12] missing",
    "renamed": "[12] missing.* 1 unexpected",
    "added": "1 unexpected",
    "reshaped": "1 wrong shape",
    "nan": "1 not finite",
    "inf": "1 not finite",
}


def broken(tensors: dict[str, torch.Tensor], name: str, fault: str) -> dict[str, torch.Tensor]:
    """The tensors with one fault in the tensor of that name."""
    result = {n: t.clone() for n, t in tensors.items()}
    value = result.pop(name)
    if fault == "renamed":
        result[f"{name}_"] = value
    elif fault == "added":
        result |= {name: value, f"{name}_": value.clone()}
    elif fault == "reshaped":
        result[name] = value.repeat(2, *[1] * (value.dim() - 1)) if value.dim() else value.reshape(1)
    elif fault in ("nan", "inf"):
        value.view(-1)[-1] = float(fault)
        result[name] = value
    return result


@dataclass
class Saved:
    """A folder with a file of weights, and what opens it."""

    folder: Path
    file: str

    def open(self) -> object:
        if (self.folder / "method.json").is_file():
            return load_method(self.folder)
        return Backbone.load(tiny_config(model=str(self.folder), weights="frozen"))


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Saved]:
    """Folders of a method with adapters, one with all weights, one with weights of its own, and a model."""
    parent = tmp_path_factory.mktemp("saved")
    kinds = {"lora": ("metaicl", "adapter_model"), "full": ("metaicl", "model"), "own": ("meta_sgd", "method")}
    found = {}
    for kind, (name, file) in kinds.items():
        config = MethodConfig(name, {}, tiny_config(weights="full" if kind == "full" else "lora"), PromptFormat())
        save_method(config.build(), config, parent / kind)
        found[kind] = Saved(parent / kind, f"{file}.safetensors")
    tiny_model().save_pretrained(parent / "base")
    tiny_tokenizer().save_pretrained(parent / "base")
    return {**found, "base": Saved(parent / "base", "model.safetensors")}


@pytest.mark.parametrize("kind", ["lora", "full", "own", "base"])
@settings(examples(10), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), fault=st.sampled_from(sorted(FAULTS)))
def test_a_file_with_any_fault_in_any_tensor_is_refused_and_the_tensor_named(saved, kind, data, fault):
    path = saved[kind].folder / saved[kind].file
    whole, before = load_file(path), path.read_bytes()
    name = data.draw(st.sampled_from(sorted(whole)))
    try:
        save_file(broken(whole, name, fault), path, metadata={"format": "pt"})
        with pytest.raises(UserError, match=rf"incomplete or damaged; found {FAULTS[fault]}") as error:
            saved[kind].open()
        assert name in str(error.value) and str(saved[kind].folder) in str(error.value)
    finally:
        path.write_bytes(before)
    assert saved[kind].open()  # the way out: the whole file again


@pytest.mark.parametrize("kind", ["lora", "full", "own", "base"])
@pytest.mark.parametrize("keep", [0, 200, -1], ids=["empty", "its head", "all but a byte"])
def test_a_file_that_is_cut_off_or_gone_is_refused(saved, kind, keep, tmp_path):
    copied = Saved(tmp_path / "copy", saved[kind].file)
    shutil.copytree(saved[kind].folder, copied.folder)
    path = copied.folder / copied.file
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="the weights are incomplete or damaged"):
        copied.open()
    path.unlink()
    with pytest.raises(UserError, match="the weights are incomplete or damaged"):
        copied.open()


def test_a_model_in_several_files_is_whole_only_with_all_of_them(tmp_path):
    tiny_tokenizer().save_pretrained(tmp_path)
    tiny_model().save_pretrained(tmp_path, max_shard_size="20KB")
    base, parts = Saved(tmp_path, "model.safetensors.index.json"), sorted(tmp_path.glob("model-*.safetensors"))
    assert len(parts) > 2 and base.open()
    for part in parts[:2]:
        whole, before = load_file(part), part.read_bytes()
        name = next(iter(whole))
        for fault in ("removed", "renamed", "nan"):
            save_file(broken(whole, name, fault), part, metadata={"format": "pt"})
            with pytest.raises(UserError, match="incomplete or damaged") as error:
                base.open()
            assert name in str(error.value)
        part.unlink()
        with pytest.raises(UserError, match=f"incomplete or damaged: .*{part.name}"):
            base.open()
        part.write_bytes(before)
    assert base.open()


def test_weights_of_a_method_that_learns_the_whole_model_come_back_with_its_own(tmp_path):
    config = MethodConfig("meta_sgd", {}, tiny_config(weights="full"), PromptFormat())
    method = config.build()
    with torch.no_grad():
        for p in method.learned().values():
            p.add_(0.25)
    save_method(method, config, tmp_path / "best")
    again, emptied = load_method(tmp_path / "best"), config.build()
    load_weights(emptied, tmp_path / "best")
    for name, p in method.learned().items():
        assert torch.equal(p, again.learned()[name]) and torch.equal(p, emptied.learned()[name])


def test_adapters_beside_a_method_that_learns_none_are_refused(saved, tmp_path):
    config = MethodConfig("protonet", {}, tiny_config(), PromptFormat())
    save_method(config.build(), config, tmp_path / "best")
    shutil.copy(saved["lora"].folder / "adapter_model.safetensors", tmp_path / "best")
    with pytest.raises(UserError, match="learns no adapters, but there is a file of them"):
        load_method(tmp_path / "best")


@pytest.mark.parametrize("part", ["learned", "average"])
@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_checkpoint_with_a_fault_is_not_resumed(tmp_path, part, fault):
    trainer = make(tmp_path, "protonet", CONFIG)
    trainer.take_step()
    trainer.average = {n: p.detach().clone() for n, p in trainer.method.learned().items()}
    state.write(state.taken(trainer.engine, trainer.average), tmp_path)
    path = tmp_path / "learned.pt"
    saved_state = torch.load(path)
    name = next(iter(saved_state[part]))
    torch.save({**saved_state, part: broken(saved_state[part], name, fault)}, path)
    with pytest.raises(UserError, match=rf"incomplete or damaged; found {FAULTS[fault]}.*Delete {tmp_path}"):
        state.read(tmp_path, trainer.engine)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match=rf"incomplete or damaged: .*Delete {tmp_path}"):
        state.read(tmp_path, trainer.engine)


def test_a_folder_of_adapters_is_not_taken_for_a_model(saved, tmp_path):
    shutil.copytree(saved["lora"].folder, tmp_path / "adapters")
    (tmp_path / "adapters" / "method.json").unlink()
    with pytest.raises(UserError, match=r"holds adapters, not a model.*merge_and_unload"):
        resolve(str(tmp_path / "adapters"))


tensors = st.dictionaries(
    st.sampled_from("abcdefgh"), st.lists(st.integers(1, 3), max_size=2).map(torch.zeros), min_size=1
)


@settings(deadline=None)
@given(found=tensors, expected=tensors)
def test_tensors_are_taken_if_and_only_if_names_and_shapes_agree(found, expected):
    same = {n: t.shape for n, t in found.items()} == {n: t.shape for n, t in expected.items()}
    if same:
        check_weights(found, expected, "file")
    else:
        with pytest.raises(UserError, match="the weights are incomplete or damaged"):
            check_weights(found, expected, "file")


def test_a_type_is_right_or_refused_and_at_most_five_tensors_are_named():
    with pytest.raises(UserError, match=r"1 wrong type \(a torch.float16, not torch.float32\)"):
        check_weights({"a": torch.zeros(1, dtype=torch.float16)}, {"a": torch.zeros(1)}, "file")
    with pytest.raises(UserError) as error:
        refuse_unless_whole("file", "fix.", missing=list("abcd"), unexpected=list("efg"), wrong_shape=["h"])
    assert "4 missing (a, b, c, d); 2 unexpected" not in str(error.value)
    assert "4 missing (a, b, c, d); 3 unexpected (e, ...); 1 wrong shape (...)" in str(error.value)


def test_a_sum_that_overflows_is_not_taken_for_a_value_that_is_not_finite():
    large = torch.full((4,), 60000.0, dtype=torch.float16)
    assert not torch.isfinite(large.sum())
    assert not_finite({"large": large, "nan": torch.tensor([1.0, float("nan")])}) == ["nan"]
