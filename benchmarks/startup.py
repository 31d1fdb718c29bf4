"""What a command costs beyond the libraries and the model that it cannot do without.

    .venv/bin/python benchmarks/startup.py            # smollm2-135m, five runs in turn; about three minutes
    .venv/bin/python benchmarks/startup.py --quick    # a tiny random model, once; its numbers mean nothing

`metaicl predict` of five inputs is a process of its own, and so is a plain Python that imports torch and transformers
and loads the same model and tokenizer with `from_pretrained`; likewise a `metaicl train` of two steps on the tiny
model, and a Python that imports the libraries of training. The sides run in turn. The first `predict` checks the model,
and the later ones find the outcome in the cache; all have to give the same lines, and the scores of plain sequences
through the model's own attention and output embedding.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from metaicl.lm import models, tiny

DEMONSTRATIONS = {"good": ["I loved it", "wonderful"], "bad": ["a terrible film", "an awful mess"]}
INPUTS = ["a joy to watch", "boring", "I fell asleep", "splendid acting", "what a waste"]
PLAIN = """
import sys, torch, transformers
transformers.AutoTokenizer.from_pretrained(sys.argv[1])
transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1])
"""
TRAINING = """
import torch, accelerate, peft
from torch.utils.tensorboard import SummaryWriter
from transformers import LlamaForCausalLM
"""
TOLERANCE = {"float32": 1e-3, "bfloat16": 0.5}  # of a score, a sum of a few log-probabilities


def timed(command: list[str], environment: dict[str, str]) -> tuple[float, float, str]:
    """Return (wall seconds of a process, its processor seconds, its standard output)."""
    started, before = time.perf_counter(), os.times()
    done = subprocess.run([sys.executable, *command], env=environment, capture_output=True, text=True)
    seconds, after = time.perf_counter() - started, os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return seconds, busy, done.stdout


def write_files(folder: Path) -> tuple[Path, Path]:
    """Return (demonstrations, inputs) as JSON lines."""
    demos, inputs = folder / "demos.jsonl", folder / "inputs.jsonl"
    rows = [{"input": text, "output": label} for label, texts in DEMONSTRATIONS.items() for text in texts]
    demos.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    inputs.write_text("".join(json.dumps({"input": text}) + "\n" for text in INPUTS), encoding="utf-8")
    return demos, inputs


def save_tiny(folder: Path) -> str:
    """Return a tiny random model in a folder, which is given back."""
    tiny.tiny_model().save_pretrained(folder)
    tiny.tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def largest_difference(answers: str, demos: Path, inputs: Path, model: str) -> tuple[float, str]:
    """Return (largest difference of a score from that of plain sequences, precision of both)."""
    from metaicl.inference.answered_rows import answer_questions
    from metaicl.inference.fitted import FittedMethod
    from metaicl.inference.questions import read_questions
    from metaicl.lm.config import BackboneConfig
    from metaicl.training.checkpoint import MethodConfig
    from task_suites.formats.prompt_format import PromptFormat

    method = MethodConfig("icl", {}, BackboneConfig(model, attn_implementation="plain"), PromptFormat()).build()
    method.backbone.head, method.backbone.last.module = None, None
    questions = read_questions(demos, inputs)
    fitted = FittedMethod.around(method, questions.support, questions.labels)
    pairs = zip(map(json.loads, answers.splitlines()), answer_questions(fitted, questions), strict=True)
    differences = [abs(one["scores"][o] - other["scores"][o]) for one, other in pairs for o in DEMONSTRATIONS]
    assert len(differences) == len(INPUTS) * len(DEMONSTRATIONS)
    return max(differences), method.backbone.config.dtype


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="smollm2-135m", help="a pulled model, or a folder")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each side")
    parser.add_argument("--quick", action="store_true", help="a smoke run, without training")
    parser.add_argument("--skip-train", action="store_true", help="leave the two steps of training out")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if args.quick:
            args.model, args.repeats, args.skip_train = save_tiny(folder / "tiny"), 1, True
        source = models.resolve(args.model)
        cache = folder / "cache"
        cache.mkdir()
        if models.cache_folder().is_dir():
            (cache / "models").symlink_to(models.cache_folder().resolve())
        environment = {**os.environ, "METAICL_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
        demos, inputs = write_files(folder)
        predict = ["-m", "metaicl", "predict", "--model", args.model, "--demos", str(demos), "--inputs", str(inputs)]
        plain = ["-c", PLAIN, source]
        train = ["-m", "metaicl", "train", "--model", "tiny-random", "--max_steps", "2"]
        train += ["--no-progress", "--output_dir"]
        sides: dict[str, list[str]] = {"plain": plain, "predict": predict}
        if not args.skip_train:
            sides |= {"training": ["-c", TRAINING], "train": train}
        timed(plain, environment)  # the files are in memory from here on
        first, _, answers = timed(predict, environment)
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        processor: dict[str, list[float]] = {side: [] for side in sides}
        for number in range(args.repeats):
            for side, command in sides.items():
                output_folder = [str(folder / str(number))] if side == "train" else []
                took, busy, output = timed([*command, *output_folder], environment)
                seconds[side].append(took)
                processor[side].append(busy)
                if side == "predict" and output != answers:
                    sys.exit("a checked model and one found in the cache gave different lines")
        os.environ["METAICL_CACHE"] = str(cache)
        difference, precision = largest_difference(answers, demos, inputs, args.model)
    for side, runs in seconds.items():
        print(f"{side:10} {statistics.median(runs):6.2f} s   ({min(runs):.2f} to {max(runs):.2f})")
    print(json.dumps(summary(args, seconds, processor, first, difference, precision)))
    if not difference <= TOLERANCE[precision]:
        sys.exit(f"the scores differ from those of plain sequences by {difference}")


def summary(
    args: argparse.Namespace,
    seconds: dict[str, list[float]],
    processor: dict[str, list[float]],
    first: float,
    difference: float,
    precision: str,
) -> dict[str, Any]:
    import torch

    from metaicl.training.run import manifest

    about = manifest()
    middle = {side: statistics.median(runs) for side, runs in seconds.items()}
    found: dict[str, Any] = {
        "benchmark": "startup",
        "predict_over_import": round(middle["predict"] / middle["plain"], 3),
        "predict_over_import_best": round(min(seconds["predict"]) / min(seconds["plain"]), 3),
        "predict_over_import_processor": round(min(processor["predict"]) / min(processor["plain"]), 3),
        "first_predict_over_import": round(first / middle["plain"], 3),
        "predict_seconds": round(middle["predict"], 2),
        "import_seconds": round(middle["plain"], 2),
    }
    if "train" in middle:
        found["train_over_import"] = round(middle["train"] / middle["training"], 3)
        found["train_seconds"] = round(middle["train"], 2)
    setting = {"model": args.model, "repeats": args.repeats, "threads": torch.get_num_threads(), "precision": precision}
    found |= {"max_score_diff": round(difference, 6), **setting}
    return {**found, "machine": about["machine"], "versions": about["versions"]}


if __name__ == "__main__":
    main()
