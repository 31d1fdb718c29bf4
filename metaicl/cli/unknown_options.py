"""What is said about an option that no command has: the option of ours that was probably meant.

Who comes from another tool types that tool's names. `ELSEWHERE` has the usual ones of Hugging Face's trainers,
lm-evaluation-harness and peft.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from task_suites.core.errors import nearest

ELSEWHERE: Mapping[str, tuple[str, ...]] = {  # their name -> ours; each command has some of them
    **dict.fromkeys(("learning_rate", "outer_lr", "meta_lr"), ("trainer.learning_rate",)),
    **dict.fromkeys(("max_steps", "num_steps", "num_train_steps", "num_training_steps"), ("trainer.max_steps",)),
    **dict.fromkeys(("num_warmup_steps", "warmup"), ("trainer.warmup_steps",)),
    **dict.fromkeys(
        ("batch_size", "train_batch_size", "per_device_train_batch_size", "meta_batch_size"),
        ("trainer.episodes_per_step",),
    ),
    **dict.fromkeys(("lr_scheduler_type", "scheduler"), ("trainer.lr_scheduler_type",)),
    **dict.fromkeys(("max_grad_norm", "gradient_clipping", "clip_grad"), ("trainer.max_grad_norm",)),
    **dict.fromkeys(("eval_steps", "eval_every"), ("trainer.eval_steps",)),
    **dict.fromkeys(("save_steps", "save_every"), ("trainer.save_steps",)),
    **dict.fromkeys(("logging_steps", "log_steps"), ("trainer.logging_steps",)),
    **dict.fromkeys(
        ("num_fewshot", "num_shots", "n_shot", "n_shots", "shots", "shot"), ("trainer.k", "protocol.k", "k")
    ),
    **dict.fromkeys(
        ("model_name_or_path", "model_name", "model", "model_args", "pretrained", "base_model"), ("backbone.model",)
    ),
    **dict.fromkeys(("lora_rank", "rank", "r"), ("backbone.lora_r",)),
    **dict.fromkeys(("target_modules", "lora_target_modules"), ("backbone.target_modules",)),
    **dict.fromkeys(("dtype", "torch_dtype", "precision", "bf16", "fp16", "fp32"), ("backbone.dtype",)),
    **dict.fromkeys(("attn_implementation", "attn"), ("backbone.attn_implementation",)),
    **dict.fromkeys(("dataset", "dataset_name", "data", "data_dir"), ("suite",)),
    **dict.fromkeys(("output_dir", "output_path"), ("output",)),
    **dict.fromkeys(("run_name", "experiment_name"), ("name",)),
    **dict.fromkeys(("apply_chat_template", "chat_template"), ("format.chat",)),
    "suite.name": ("suite",),
    "limit": ("protocol.queries", "queries"),
}


def explained(message: str, known: Collection[str]) -> str:
    """The command line library's message on one line; where an option is unknown, with the one that was meant.

    Args:
        known: the options of the command.
    """
    text = " ".join(message.split())
    unknown = re.search(
        r"(?:unrecognized arguments|ambiguous option): --([\w.-]+)|does not accept option '([\w.-]+)'", text, re.I
    )
    if not (unknown and known):
        return text
    name = unknown.group(1) or unknown.group(2)
    return f"unknown option --{name}. {meant(name, known)}"


def meant(name: str, known: Collection[str]) -> str:
    """The ending of an error about an option's name: the options that it may mean."""
    plain = name.replace("-", "_")
    last = plain.rpartition(".")[2]
    if plain in known:
        return f"Did you mean {plain}?"
    ours = [option for option in ELSEWHERE.get(plain, ELSEWHERE.get(last, ())) if option in known]
    found = ours or sorted(option for option in known if option.rpartition(".")[2] == last)
    return f"Did you mean {' or '.join(found)}?" if found else nearest(plain, known)
