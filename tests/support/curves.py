"""Trainings of fifty steps that stand for the families of methods, run as a user runs them, and how far two are apart.

tests/reference/ holds what they gave when they were last written (`python tests/reference/make.py`): no name of an
option, a module or a method stands in those files, so that a rename changes none of them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import yaml
from helpers import write_task
from safetensors.torch import load_file

from metaicl.cli.main import main
from metaicl.lm.tiny import tiny_tokenizer
from metaicl.methods.base import Method
from metaicl.training.checkpoint import MethodConfig

REFERENCE = Path(__file__).resolve().parents[1] / "reference"
INNER = {"inner_steps": 2, "inner_lr": 0.5}
ALONE = {"episodes_per_step": 1, "learning_rate": 2e-3}
FAMILIES: dict[str, dict[str, Any]] = {
    "in_context": {"method": "metaicl"},
    "channel": {"method": "metaicl_channel"},
    "first_order": {"method": "fomaml", "method_options": INNER, **ALONE},
    "second_order": {"method": "maml", "method_options": INNER, **ALONE},
    "metric": {"method": "protonet", "lora_r": None, "episodes_per_step": 2},
    "bayesian": {
        "method": "bmaml",
        "method_options": {**INNER, "inner_steps": 1, "particles": 2},
        **ALONE,
    },
}
DTYPES = ("float64", "float32")
DIGITS = {"float64": 12, "float32": 9}
TASKS = {"mood": ("good", "awful"), "size": ("big", "small", "tiny"), "place": ("inside", "out")}  # unequal in length
COMMAND: dict[str, Any] = yaml.safe_load("""
{model: tiny-random, device: cpu, dtype: float32, lora_r: 4,
   max_steps: 50, warmup_steps: 5, lr_scheduler_type: cosine, learning_rate: 0.005, weight_decay: 0.01,
   logging_steps: 1, mixing: temperature,
   episodes_per_step: 4, row_tokens: 100000, k: 4, k_min: 2, queries: 2, arbitrary_labels: 0.25, progress: false}
""")


@dataclass(frozen=True)
class Curve:
    """What a training leaves: the loss of each step, and the norm of the saved weights."""

    losses: tuple[float, ...]
    norm: float

    def rounded(self, dtype: str) -> Curve:
        def short(value: float) -> float:
            return float(f"{value:.{DIGITS[dtype]}g}")

        return Curve(tuple(map(short, self.losses)), short(self.norm))


@dataclass(frozen=True)
class Bound:
    """How far a curve may be from its reference in nats: at most, and on average over the steps."""

    largest: float
    mean: float


@dataclass(frozen=True)
class Distance:
    """How far a curve is from its reference; `step` is where the losses are furthest apart, counted from 1."""

    largest: float
    mean: float
    step: int
    norm: float

    def within(self, bound: Bound) -> bool:
        return self.largest <= bound.largest and self.mean <= bound.mean and self.norm <= bound.largest


def distance(found: Curve, wanted: Curve) -> Distance:
    """Loss by loss; of the weights' norm the difference is relative."""
    apart = [abs(f - w) for f, w in zip(found.losses, wanted.losses, strict=True)]
    norm = abs(found.norm / wanted.norm - 1)
    if not all(map(math.isfinite, (*apart, norm))):
        raise AssertionError(f"a loss or a weight is not finite: {found}")
    largest = max(apart)
    return Distance(largest, sum(apart) / len(apart), apart.index(largest) + 1, norm)


def check(found: Curve, wanted: Curve, bound: Bound, name: str) -> None:
    """Raise where a curve is further from its reference than `bound`; the message says where, and how far."""
    far = distance(found, wanted)
    if far.within(bound):
        return
    pairs = zip(found.losses, wanted.losses, strict=True)
    leaves = next((step for step, (f, w) in enumerate(pairs, 1) if abs(f - w) > bound.largest), None)
    raise AssertionError(
        f"{name}: the curve is not the reference's{f' from step {leaves} on' if leaves else ''}. "
        f"Losses differ by {far.largest:.3g} at most, at step {far.step} ({found.losses[far.step - 1]:.9g}, "
        f"reference {wanted.losses[far.step - 1]:.9g}), and by {far.mean:.3g} on average; "
        f"the norm of the weights differs by {far.norm:.3g} of itself. "
        f"Allowed: {bound.largest:.3g} at most, {bound.mean:.3g} on average."
    )


def reference(family: str, dtype: str) -> tuple[Curve, Bound]:
    """Return the stored curve, and how far another machine may be from it."""
    stored = json.loads((REFERENCE / f"{family}.json").read_text(encoding="utf-8"))[dtype]
    return Curve(tuple(stored["losses"]), stored["norm"]), Bound(**stored["bound"])


def train(family: str, dtype: str, folder: Path, changes: Mapping[str, Any] | None = None) -> Curve:
    """Return the curve of a family; `changes` are made to its options."""
    run(configure(family, dtype, folder, changes), dtype)
    return read(folder / "runs" / "run")


def configure(family: str, dtype: str, folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """Return the file of a family's training, beside the suite and the model that it names."""
    places = {"output_dir": str(folder / "runs" / "run"), "suite": str(write_suite(folder / "suite"))}
    model = {"model": write_model(folder / "model")} if dtype == "float64" else {}
    command = {**places, **COMMAND, **FAMILIES[family], **model, **(changes or {})}
    config = folder / "train.yaml"
    config.write_text(yaml.safe_dump(command), encoding="utf-8")
    return config


def run(config: Path, dtype: str) -> None:
    """`metaicl train`."""
    with in_float64() if dtype == "float64" else nullcontext():
        main(["train", "--config", str(config)])


def read(run: Path) -> Curve:
    """Return the curve of a finished run."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    saved = [tensor for path in (run / "best").glob("*.safetensors") for tensor in load_file(path).values()]
    norm = math.sqrt(sum(float(tensor.double().square().sum()) for tensor in saved))
    return Curve(tuple(row["loss"] for row in rows), norm)


def write_suite(suite: Path) -> Path:
    """Three tasks to meta-train on, with classes of unequal number and answers of unequal length."""
    for name, labels in TASKS.items():
        answers = [labels[(i * i) % len(labels)] for i in range(24)]
        parts = {
            part: [
                {"input": f"{part[:2]} {name} {i * 37 % 101} {'aeu'[i % 3] * (i % 4)}", "output": answer}
                for i, answer in enumerate(answers)
            ]
            for part in ("train", "test")
        }
        write_task(suite, name, {"labels": list(labels), "instruction": f"Say the {name}."}, **parts)
    sides = {"meta_train": list(TASKS)}
    (suite / "suite.yaml").write_text(yaml.safe_dump({"name": "curves", "splits": sides}), encoding="utf-8")
    return suite


def write_model(folder: Path) -> str:
    """Return a tiny GPT-2, which computes nothing in float32 of itself (Llama does); its weights are whole numbers /
    256, of which every machine draws the same."""
    from transformers import GPT2Config, GPT2LMHeadModel

    shape = {"vocab_size": 257, "n_embd": 32, "n_layer": 2, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0}
    model = GPT2LMHeadModel(GPT2Config(**shape, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() > 1:
                p.copy_(torch.randint(-16, 17, p.shape, generator=generator) / 256)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@contextmanager
def in_float64() -> Iterator[None]:
    """Return a context in which methods are built with weights in float64; no command offers it.

    What is to be learned is drawn in float32, whose last digit differs between instruction sets, so it is rounded.
    """
    build = MethodConfig.build

    @torch.no_grad()
    def double(*args: Any, **options: Any) -> Method:
        method = build(*args, **options).double()
        for p in method.learned().values():
            p.copy_((p * 256).round() / 256)
        return method

    with patch.object(MethodConfig, "build", double):
        yield
