"""Tiny random models of many families."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from backbones import tiny_config
from trees import plant

from metaicl.lm.backbone import Backbone
from metaicl.lm.prompt_tree import PromptTree
from metaicl.lm.tiny import tiny_tokenizer

WINDOW = 256  # longer than the tree below is deep
SIZES = {"vocab_size": 257, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
LLAMA = {
    **SIZES,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}
GROUPED = {**LLAMA, "num_key_value_heads": 2}
GPT2 = {**SIZES, "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512}
OPT = {"ffn_dim": 48, "word_embed_proj_dim": 32, "pad_token_id": 1}
NEO = {"num_layers": 2, "num_heads": 4, "max_position_embeddings": 512, "attention_types": [[["global", "local"], 1]]}
GEMMA = {**GROUPED, "head_dim": 8}
LLAMA4 = {**GEMMA, "intermediate_size_mlp": 48, "num_local_experts": 2, "attention_chunk_size": 512}
EXPERTS = {"num_experts_per_tok": 2, "num_local_experts": 4}
QWEN_MOE = {
    "num_experts_per_tok": 2,
    "num_experts": 4,
    "moe_intermediate_size": 16,
    "shared_expert_intermediate_size": 16,
}
FALCON = {"alibi": False, "new_decoder_architecture": False, "ffn_hidden_size": 48}
LINEAR = {
    "layer_types": ["linear_attention", "full_attention"],
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 8,
}
DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 8.0}
# transformers' configuration and its settings, and the attention that "auto" takes on CPU
FAMILIES: dict[str, tuple[str, dict[str, Any], str]] = {
    "llama": ("Llama", GROUPED, "tree"),
    "llama4": ("Llama4Text", LLAMA4, "tree"),
    "gpt2": ("GPT2", GPT2, "tree"),
    "qwen2": ("Qwen2", GROUPED, "tree"),
    "qwen3": ("Qwen3", {**GROUPED, "head_dim": 8}, "tree"),
    "gemma": ("Gemma", {**GEMMA, "num_key_value_heads": 1}, "tree"),
    "gemma2": ("Gemma2", {**GEMMA, "sliding_window": WINDOW}, "dense"),  # soft-capped
    "gemma3": ("Gemma3Text", {**GEMMA, "sliding_window": WINDOW}, "tree"),
    "mistral": ("Mistral", {**GROUPED, "sliding_window": WINDOW}, "tree"),
    "opt": ("OPT", {**LLAMA, **OPT}, "tree"),
    "gpt_neox": ("GPTNeoX", LLAMA, "tree"),
    "gpt_neo": ("GPTNeo", {**SIZES, "hidden_size": 32, **NEO, "window_size": 512}, "plain"),
    "bloom": ("Bloom", {**SIZES, "hidden_size": 32, "n_layer": 2, "n_head": 4}, "plain"),  # ALiBi
    "phi": ("Phi", LLAMA, "tree"),
    "phi3": ("Phi3", GROUPED, "tree"),
    "olmo2": ("Olmo2", GROUPED, "tree"),
    "falcon": ("Falcon", {**LLAMA, **FALCON}, "dense"),
    "mixtral": ("Mixtral", {**GROUPED, **EXPERTS}, "tree"),
    "qwen2_moe": ("Qwen2Moe", {**GROUPED, **QWEN_MOE}, "tree"),
    "qwen3_next": ("Qwen3Next", {**GEMMA, **QWEN_MOE, **LINEAR}, "plain"),  # a hybrid with linear attention
    "mamba": ("Mamba", {**SIZES, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}, "plain"),
}


def make(family: str, **changes: Any) -> Any:
    """Return a tiny random model of the family, the same at each call."""
    import transformers

    name, settings, _ = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**{**settings, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.AutoModelForCausalLM.from_config(config).eval()


def make_talkative(family: str, **changes: Any) -> Any:
    """`make`, with an output embedding of its own that is so large that texts differ from prompt to prompt."""
    model, head = make(family, **changes), torch.nn.Linear(32, 257, bias=False)
    with torch.no_grad():
        head.weight.normal_(std=1.5, generator=torch.Generator().manual_seed(3))
    model.config.tie_word_embeddings = False
    model.set_output_embeddings(head)
    return model


@cache
def tree() -> PromptTree:
    """Return a trunk, short branches, and a branch of more than 128 tokens that divides: 210 tokens deep, 534 in
    all."""
    return plant(
        (20, [(3, []), (4, [(2, []), (1, [])]), (150, [(40, []), (1, []), (30, [(5, []), (8, [])])]), *[(9, [])] * 30])
    )


def wrap(model: Any, attention: str = "auto", weights: str = "frozen", precision: str = "float32") -> Backbone:
    settings = {"weights": weights, "attn_implementation": attention, "dtype": precision}
    return Backbone(model, tiny_tokenizer(), tiny_config(model=type(model).__name__, **settings))


@torch.no_grad()
def own_logprobs(model: Any, of: PromptTree) -> torch.Tensor:
    """Return the log-probabilities of all nodes but the first, by a plain forward pass of the model for each leaf."""
    found = torch.zeros(len(of))
    for leaf in set(range(len(of))) - set(of.parent):
        path = of.path(leaf)
        ids = torch.tensor([[of.tokens[n] for n in path]])
        lp = model(ids).logits[0].float().log_softmax(-1)
        found[path[1:]] = lp[range(len(path) - 1), ids[0, 1:]]
    return found[1:]


@torch.no_grad()
def tree_logprobs(backbone: Backbone, of: PromptTree) -> torch.Tensor:
    return backbone.logprobs([of], [range(1, len(of))])
