"""What is said about an option that no command has: the option of ours that was probably meant.

Who comes from another tool types that tool's names. `ELSEWHERE` has the usual ones of Hugging Face's trainers,
lm-evaluation-harness and peft, and those that ours had before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from task_suites.core.errors import nearest

ELSEWHERE: Mapping[str, tuple[str, ...]] = {  # their name -> ours; each command has some of them
    **dict.fromkeys(("lr", "outer_lr", "meta_lr"), ("learning_rate",)),
    **dict.fromkeys(("steps", "num_steps", "num_train_steps", "num_training_steps"), ("max_steps",)),
    **dict.fromkeys(("num_warmup_steps", "warmup"), ("warmup_steps",)),
    **dict.fromkeys(
        ("batch_size", "train_batch_size", "per_device_train_batch_size", "meta_batch_size"), ("episodes_per_step",)
    ),
    **dict.fromkeys(("schedule", "scheduler", "lr_schedule"), ("lr_scheduler_type",)),
    **dict.fromkeys(("clip", "gradient_clipping", "clip_grad"), ("max_grad_norm",)),
    **dict.fromkeys(("validate_every", "eval_every"), ("eval_steps",)),
    "patience": ("early_stopping_patience",),
    **dict.fromkeys(("checkpoint_every", "save_every"), ("save_steps",)),
    **dict.fromkeys(("log_every", "log_steps"), ("logging_steps",)),
    **dict.fromkeys(("log_with", "tracker", "trackers", "logger"), ("report_to",)),
    "average_last": ("weight_averaging",),
    "temperature": ("mixing_temperature",),
    **dict.fromkeys(("num_fewshot", "num_shots", "n_shot", "n_shots", "shots", "shot"), ("k", "method_options")),
    **dict.fromkeys(("k", "shown", "select", "selection", "calibrate", "calibration"), ("method_options",)),
    **dict.fromkeys(("threshold", "confidence", "min_probability"), ("at_least",)),
    **dict.fromkeys(
        ("model_name_or_path", "model_name", "backbone", "backbone.name", "model_args", "pretrained", "base_model"),
        ("model",),
    ),
    **dict.fromkeys(("lora_rank", "rank", "r"), ("lora_r",)),
    **dict.fromkeys(("lora_targets", "lora_target_modules"), ("target_modules",)),
    **dict.fromkeys(("torch_dtype", "precision", "bf16", "fp16", "fp32"), ("dtype",)),
    **dict.fromkeys(("attention", "attn"), ("attn_implementation",)),
    **dict.fromkeys(("dataset", "dataset_name", "data", "data_dir", "suite.name", "suite.names"), ("suite",)),
    "suite.split": ("split_file",),
    **dict.fromkeys(("text_column", "text_column_name", "sentence_column"), ("input_column",)),
    **dict.fromkeys(("label_column", "label_column_name", "answer_column", "summary_column"), ("output_column",)),
    **dict.fromkeys(("output", "output_path"), ("output_dir",)),
    **dict.fromkeys(("name", "experiment_name"), ("run_name",)),
    **dict.fromkeys(("resume_from_checkpoint", "overwrite_output_dir"), ("resume",)),
    **dict.fromkeys(("apply_chat_template", "chat_template", "chat", "choices", "template"), ("format",)),
    "limit": ("queries",),
}


def meant(name: str, known: Collection[str]) -> str:
    """Return the ending of an error about an option's name: the options that it may mean.

    Args:
        name: without the dashes before it; perhaps with a section before a dot, as in `trainer.lr`.
        known: the options of the command.
    """
    typed = name.replace("-", "_")
    section, _, last = typed.rpartition(".")
    if section == "format" and "format" in known:
        return f"Write --format {last}=VALUE."
    near = (typed, f"{section}_{last}", *ELSEWHERE.get(typed, ()), last, *ELSEWHERE.get(last, ()))
    found = [option for option in dict.fromkeys(near) if option in known]
    return f"Did you mean {found[0]}?" if found else nearest(last, known)
