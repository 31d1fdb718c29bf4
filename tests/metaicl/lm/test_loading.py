"""Which weights of a model learn, and how names of modules that it lacks are refused."""

from __future__ import annotations

import json

import pytest
import torch
from backbones import tiny_config
from families import make
from peft import LoraConfig, get_peft_model

from metaicl.lm.loading import open_encoder, open_model, open_tokenizer, with_weights
from metaicl.lm.tiny import tiny_model
from task_suites.core.errors import UserError

LINEAR = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}


def learning(model) -> list[str]:
    return [name for name, p in model.named_parameters() if p.requires_grad]


def adapted(model) -> set[str]:
    """The last names of the modules that have adapters."""
    return {name.split(".lora_")[0].rpartition(".")[2] for name in learning(model)}


def test_all_weights_learn_or_none_and_the_model_is_the_same_object():
    model = tiny_model()
    assert with_weights(model, tiny_config(weights="full")) is model
    assert len(learning(model)) == len(list(model.parameters()))
    assert with_weights(model, tiny_config(weights="frozen")) is model
    assert learning(model) == []


def test_adapters_alone_learn_on_every_linear_layer_but_the_output_embedding():
    model = with_weights(tiny_model(), tiny_config(lora_r=3))
    assert all(".lora_" in name for name in learning(model))
    assert adapted(model) == LINEAR
    ranks = {min(p.shape) for p in model.parameters() if p.requires_grad}
    assert ranks == {3}


@pytest.mark.parametrize(
    ("family", "names"),
    [("llama", {"q_proj", "v_proj"}), ("gpt2", {"c_attn"}), ("gpt_neox", {"query_key_value"})],
)
def test_query_and_value_are_found_by_the_names_that_a_family_gives_them(family, names):
    assert adapted(with_weights(make(family), tiny_config(target_modules="query-value"))) == names


def test_a_model_without_such_projections_is_refused_with_the_names_that_it_has():
    with pytest.raises(UserError, match=r"no query and value projections.*in_proj"):
        with_weights(make("mamba"), tiny_config(target_modules="query-value"))


@pytest.mark.parametrize("layers", [1, 2, 9])
@pytest.mark.parametrize("targets", [None, "q_proj, up_proj"])
def test_the_uppermost_layers_get_the_adapters(layers, targets):
    model = with_weights(tiny_model(layers=3), tiny_config(lora_layers=layers, target_modules=targets))
    assert adapted(model) == (LINEAR if targets is None else {"q_proj", "up_proj"})
    where = {int(name.split(".layers.")[1].split(".")[0]) for name in learning(model)}
    assert where == set(range(3)[-layers:])


@pytest.mark.parametrize("targets", ["q_pro", "q_proj,q_pro", "q_proj,,v_proj"])
def test_a_module_that_is_not_there_is_refused_before_any_other_gets_adapters(targets):
    model = tiny_model()
    with pytest.raises(UserError, match="has no module"):
        with_weights(model, tiny_config(target_modules=targets))
    assert not any("lora" in name for name, _ in model.named_parameters())


def test_a_module_that_takes_no_adapters_is_refused_with_the_way_out():
    with pytest.raises(UserError, match=r"takes no adapters at target_modules 'input_layernorm'[\s\S]*weights full"):
        with_weights(tiny_model(), tiny_config(target_modules="input_layernorm"))


def test_a_folder_of_another_kind_is_refused_with_the_kind_that_was_looked_for(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"cannot be opened as [\s\S]*saved by transformers"):
        open_model(str(tmp_path), torch.float32)
    with pytest.raises(UserError, match=r"cannot be opened as [\s\S]*saved by sentence-transformers"):
        open_encoder(str(tmp_path))


@pytest.mark.parametrize("options", [{"use_rslora": True}, {"use_dora": True}, {"use_rslora": True, "use_dora": True}])
def test_kinds_of_adapters_are_as_plain_peft_makes_them(options):
    ids = torch.arange(1, 12)[None]
    config = tiny_config(lora_r=4, lora_alpha=8, weights="lora", **options)
    own = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM", **options)
    found, expected = with_weights(tiny_model(), config), get_peft_model(tiny_model(), own).eval()
    assert learning(found) == learning(expected)
    weights = {name: 0.1 * torch.ones_like(p) for name, p in expected.named_parameters() if p.requires_grad}
    for model in (found, expected):
        model.load_state_dict(weights, strict=False)
    with torch.no_grad():
        difference = found(input_ids=ids).logits - expected(input_ids=ids).logits
        plain = found(input_ids=ids).logits - tiny_model()(input_ids=ids).logits
    assert difference.abs().max() < 1e-6 < plain.abs().max()


def test_the_tokenizer_and_the_configuration_are_those_of_the_opened_model(tmp_path):
    model, tokenizer = open_model("tiny-random", torch.float32)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    adapted = tmp_path / "adapted"  # a trained method's folder: its base model's are read, and no weights
    adapted.mkdir()
    (adapted / "adapter_model.safetensors").touch()
    (adapted / "method.json").write_text(json.dumps({"backbone": {"model": str(tmp_path / "base")}}))
    for name in ("tiny-random", str(tmp_path / "base"), str(adapted)):
        config, read = open_tokenizer(name)
        assert config.hidden_size == model.config.hidden_size and read.get_vocab() == tokenizer.get_vocab()
    with pytest.raises(UserError, match="no folder"):
        open_tokenizer(str(tmp_path / "nowhere"))
