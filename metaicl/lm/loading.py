"""A model from a folder or the hub, and which weights of a causal language model are learned."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from metaicl.lm import tiny
from metaicl.lm.adapter_library import adapters_for, import_peft
from metaicl.lm.config import NOTHING, BackboneConfig
from metaicl.lm.merged import base_of, base_on_hub, holds_adapters, merge
from metaicl.lm.models import HOW_TO_FETCH, KINDS, MODELS, Kind, source_of
from metaicl.lm.weights import AGAIN, check_loaded, damage_refused, parameters_not_finite, refuse_unless_whole
from task_suites.core.errors import UserError, nearest


def open_model(
    name: str, dtype: torch.dtype, on_hub: Mapping[str, Any] = NOTHING, quantized: Mapping[str, Any] = NOTHING
) -> tuple[Any, Any]:
    """Return (model, tokenizer) by a name that `metaicl.lm.models` knows, from a folder, or by a hub name.

    For a trained method's folder, this is the base model with the method's adapters merged into it.

    Args:
        on_hub: `BackboneConfig.on_hub`.
        quantized: arguments of `from_pretrained` for weights in fewer bits (metaicl/lm/quantized.py).

    Raises:
        UserError: there is no such model, it is not a causal language model, or its bits cannot be reduced.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = source_of(name, on_hub)
    if quantized and (name == tiny.NAME or holds_adapters(source)):
        fix = "Leave quantization out, or write the model into a plain folder first: metaicl export."
        raise UserError(f"quantization needs a model's own files of weights, which {name} does not have", fix=fix)
    if name == tiny.NAME:
        return tiny.tiny_model().to(dtype), tiny.tiny_tokenizer()
    if holds_adapters(source):
        model, tokenizer = open_model(base_of(source), torch.float32, base_on_hub(source))
        return merge(model, source).to(dtype), tokenizer
    with _quiet(), _refused(name, "causal"):
        tokenizer = AutoTokenizer.from_pretrained(source, **on_hub)
        with damage_refused(source, _way_out(name, source)):
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                source, dtype=dtype, output_loading_info=True, ignore_mismatched_sizes=True, **on_hub, **quantized
            )
    model, info = loaded
    check_loaded(model, info, source, _way_out(name, source))
    return model, tokenizer


def open_tokenizer(name: str, on_hub: Mapping[str, Any] = NOTHING) -> tuple[Any, Any]:
    """Return (the model's configuration, its tokenizer) of what `open_model` opens; no weights are read.

    Raises:
        UserError: there is no such model, or it is not a causal language model.
    """
    from transformers import AutoConfig, AutoTokenizer

    source = source_of(name, on_hub)
    if name == tiny.NAME:
        return tiny.tiny_model().config, tiny.tiny_tokenizer()
    if holds_adapters(source):
        return open_tokenizer(base_of(source), base_on_hub(source))
    with _quiet(), _refused(name, "causal"):
        return AutoConfig.from_pretrained(source, **on_hub), AutoTokenizer.from_pretrained(source, **on_hub)


def open_encoder(name: str, on_hub: Mapping[str, Any] = NOTHING) -> Any:
    """Return the `SentenceTransformer` of a registry name, a folder or a hub name: float32, on the CPU.

    Args:
        on_hub: `BackboneConfig.on_hub`.

    Raises:
        UserError: there is no such model, it is not one of sentence-transformers, or its weights are not whole.
    """
    from sentence_transformers import SentenceTransformer

    source = source_of(name, on_hub)
    if name == tiny.ENCODER:
        with _quiet():
            return tiny.tiny_encoder()
    with _quiet(), _refused(name, "encoder"), damage_refused(source, _way_out(name, source), RuntimeError, KeyError):
        model = SentenceTransformer(source, device="cpu", **on_hub)
    lost, broken = _missing(model[0], Path(source)), parameters_not_finite(model, source)
    refuse_unless_whole(source, _way_out(name, source), missing=lost, not_finite=broken)
    return model.float()


def _missing(first: Any, folder: Path) -> list[str]:
    """Return the tensors of an encoder's first module that its file lacks, which transformers would make at random.

    Another kind of module (static embeddings) refuses such a file itself. A pooler is not looked for, since sentence
    encoders pool the states of tokens. Weights used twice are stored once.
    """
    from safetensors import safe_open

    body = getattr(first, "auto_model", None)
    if body is None:
        return []
    file = next((path for path in sorted(folder.rglob("model.safetensors"))), None)
    if file is None:  # a hub name, or weights in another form
        return []
    prefix = f"{getattr(body, 'base_model_prefix', '')}."
    with safe_open(file, "pt") as tensors:
        names = {name.removeprefix(prefix) for name in tensors.keys()}  # noqa: SIM118
    state = body.state_dict()
    stored = {state[name].data_ptr() for name in state.keys() & names}
    lost = [n for n, t in state.items() if n not in names and t.data_ptr() not in stored]
    return [name for name in lost if not name.startswith("pooler.")]


@contextmanager
def _quiet() -> Iterator[None]:
    """A context without transformers' progress bars: one over 272 tensors that takes a second is noise."""
    from transformers.utils import logging as hf_logging

    shown = hf_logging.is_progress_bar_enabled()
    hf_logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            hf_logging.enable_progress_bar()


@contextmanager
def _refused(name: str, kind: Kind) -> Iterator[None]:
    """A context in which a model that is not there, or is of another kind, is the user's error."""
    try:
        yield
    except (OSError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        library = "transformers" if kind == "causal" else "sentence-transformers"
        raise UserError(
            f"{name!r} cannot be opened as {KINDS[kind]}: {str(error).splitlines()[0]}",
            expected=f"a name of `metaicl models list`, a folder saved by {library}, or a hub name",
            fix=HOW_TO_FETCH,
        ) from None


def _way_out(name: str, source: str) -> str:
    """Return what to do where the weights of a model are not whole."""
    if name in MODELS:
        return f"Delete {source} and run: metaicl models pull {name}"
    if (Path(source) / "method.json").is_file():
        return AGAIN
    return (
        "Fetch the model again. If it only has too many tensors, open it with transformers and save it "
        "(save_pretrained) into another folder."
    )


def with_weights(model: Any, config: BackboneConfig) -> nn.Module:
    """Return the model with what `config.weights` says free to learn: all of it, nothing, or new LoRA weights around it
    (Hu et al. 2021, arXiv 2106.09685).

    Raises:
        UserError: the model has no modules of the names that are to be adapted.
    """
    if config.weights == "full":
        return model
    model.requires_grad_(False)
    if config.weights == "frozen":
        return model
    import_peft()
    from peft import LoraConfig, get_peft_model

    given, layers = config.adapters(), model.config.num_hidden_layers
    upper = list(range(max(0, layers - given.layers), layers)) if given.layers else None
    lora = LoraConfig(
        r=given.r,
        lora_alpha=given.alpha,
        lora_dropout=0.0,
        target_modules=_target_modules(model, config, named=bool(upper)),
        layers_to_transform=upper,
        use_rslora=given.rslora,
        use_dora=given.dora,
        fan_in_fan_out=_stores_transposed(model, config),
        task_type="CAUSAL_LM",
    )
    try:
        with (
            adapters_for(model),
            warnings.catch_warnings(),
        ):  # peft calls a property by a name that transformers gives up
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            adapted = get_peft_model(model, lora)
    except ValueError as error:
        raise UserError(
            f"{config.model} takes no adapters at target_modules {given.targets!r}: {error}",
            fix="Name modules that take them (target_modules), or learn all weights (weights full).",
        ) from None
    module: Any
    for module in adapted.modules():  # autocast casts the adapters' inputs anyway; peft's cast to float32 comes on top
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False
    return adapted


def _target_modules(model: Any, config: BackboneConfig, named: bool) -> str | list[str]:
    """Return the modules that get adapters; by name where peft takes no `all-linear`."""
    targets = config.adapters().targets
    if targets == "query-value":
        return _query_value_names(model, config)
    if targets == "all-linear":  # peft takes a choice of layers for named modules only
        return sorted(_linear_names(model)) if named else targets
    names = [name.strip() for name in targets.split(",")]
    _refuse_unknown(names, model, config)
    return names


def checkpoint_layers(model: Any) -> None:
    """Layers store only their inputs. transformers asks for training mode, which dropout inside them must not have."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    for module in model.modules():
        if isinstance(module, GradientCheckpointingLayer):
            module.training = True
            module._gradient_checkpointing_func = _with_the_same_weights(module, module._gradient_checkpointing_func)


def _with_the_same_weights(layer: nn.Module, checkpoint: Any) -> Any:
    """Return the layer's checkpointing, with the weights of its first pass in its second one too: stand-ins
    (`torch.func.functional_call`) are set in the first one only."""

    def run(function: Any, *args: Any) -> Any:
        weights: dict[str, torch.Tensor] = {f"layer.{n}": p for n, p in layer.named_parameters()}
        return checkpoint(lambda *given: functional_call(_Pass(layer, function), weights, given), *args)

    return run


class _Pass(nn.Module):
    """A forward pass of a layer as a module."""

    def __init__(self, layer: nn.Module, function: Any):
        super().__init__()
        self.layer, self.forward = layer, function


def _linear_names(model: Any) -> set[str]:
    """Last names of the modules that "all-linear" means: linear layers, the output embedding left out."""
    from transformers.pytorch_utils import Conv1D

    head = model.get_output_embeddings()
    linear = (n for n, m in model.named_modules() if isinstance(m, (nn.Linear, Conv1D)) and m is not head)
    return {name.rpartition(".")[2] for name in linear}


def _stores_transposed(model: Any, config: BackboneConfig) -> bool:
    """Return whether the modules that get adapters are GPT-2's, whose weights are `[in, out]`: peft asks for it."""
    from transformers.pytorch_utils import Conv1D

    targets = _target_modules(model, config, named=True)
    adapted = [m for n, m in model.named_modules() if n.endswith(tuple(f".{t}" for t in targets))]
    return any(isinstance(module, Conv1D) for module in adapted)


def _refuse_unknown(targets: list[str], model: Any, config: BackboneConfig) -> None:
    """Raise where the model has no module of a name: peft adapts the others without a word."""
    names = [name for name, _ in model.named_modules()]
    for target in targets:
        if not target or not any(f".{name}".endswith(f".{target}") for name in names):
            raise UserError(
                f"{config.model} has no module {target!r} (target_modules)",
                expected="names of modules joined by commas, all-linear or query-value",
                fix=nearest(target, _linear_names(model)),
            )


def _query_value_names(model: Any, config: BackboneConfig) -> list[str]:
    """Return the query's and the value's projection, or the one that makes queries, keys and values together."""
    names = _linear_names(model)
    for wanted in (["q_proj", "v_proj"], ["c_attn"], ["query_key_value"], ["query", "value"]):
        if names.issuperset(wanted):
            return wanted
    raise UserError(
        f"{config.model} has no query and value projections of a known name",
        found=sorted(names),
        fix="Name modules in target_modules.",
    )
