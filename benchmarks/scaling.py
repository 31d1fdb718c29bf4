"""Meta-training on several processes: whether it is the same training, and what each part of it costs.

    python benchmarks/scaling.py            # half an hour on two idle cores
    python benchmarks/scaling.py --quick    # a smoke run; its numbers mean nothing

    world_size_max_diff     weights of every family of methods after 50 steps in float64 on 1, 2 and 4 processes (gloo),
                            also where the number changes at a resume: the largest difference, and `..._mean_diff`
    fsdp2_max_diff          losses of ten steps on a model sharded over two processes (FSDP2), against one process
    two_process_efficiency  seconds of a step of one process with two threads over those of two with one thread each
    step_overhead_pct       of a step's CPU time, what is not the model's forward or backward pass, over what is
    checkpoint_overhead_pct seconds for which a checkpoint of a fully trained model holds up the training, over a minute
    plan_error_pct          the memory that `metaicl train --plan` gives, against the peak of a real training on CPU:
                            the worst of four configurations; `plan` has them all

The plan counts tensors. So the peak is that of a process whose allocator gives what is freed back at once;
`default_peak_mib` is that of glibc's allocator as it is, which keeps part of it.

The model of the last four is a random Llama (--width, --layers), or for the plans --model. The last line is one JSON
object.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch

import sharded
import torch
import worlds

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.tiny import tiny_tokenizer
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.plan import training_plan
from metaicl.training.run import manifest
from metaicl.training.trainer import Trainer
from task_suites.sources import SuiteConfig
from task_suites.task import TaskSuite

ROOT = Path(__file__).resolve().parents[1]
LIMITS = {
    "world_size_max_diff": 1e-5,
    "fsdp2_max_diff": 1e-5,
    "two_process_efficiency": 0.9,
    "step_overhead_pct": 5,
    "checkpoint_overhead_pct": 3,
    "plan_error_pct": 15,
}
PARTS = ["worlds", "sharded", "steps", "overheads", "plans"]
MALLOC: list[dict[str, str]] = [{"MALLOC_MMAP_THRESHOLD_": "65536"}, {}]  # the first gives back what is freed
PLANNED_STEPS = 6
PLANNED = {
    "lora": ({"weights": "lora", "lora_r": 16}, 2048),
    "lora, checkpointed layers": ({"weights": "lora", "lora_r": 16, "gradient_checkpointing": True}, 2048),
    "full": ({"weights": "full"}, 2048),
    "full, short rows": ({"weights": "full"}, 512),
}


def suite() -> TaskSuite:
    return SuiteConfig(["embedded"], max_words=24, forms=["options"]).open()[0]


def make_model(folder: Path, width: int, layers: int) -> str:
    """Write a random Llama with the byte-level tokenizer; return its folder."""
    from transformers import LlamaConfig, LlamaForCausalLM

    heads = max(1, width // 64)
    shape = {"hidden_size": width, "intermediate_size": 3 * width, "num_hidden_layers": layers, "vocab_size": 4096}
    config = LlamaConfig(**shape, num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=8192)
    LlamaForCausalLM(config).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def training(model: str, backbone: dict[str, Any], **trainer: Any) -> TrainRun:
    config = BackboneConfig(model=model, dtype="float32", device="cpu", **backbone)
    return TrainRun(backbone=config, trainer=TrainerConfig(**{"max_steps": 100, "k": 8, "queries": 8, **trainer}))


def made(run: TrainRun, folder: Path) -> Trainer:
    method = MethodConfig(run.method, {}, run.backbone, run.format)
    return Trainer(method.build(), method, suite().split("meta_train"), run.trainer, folder, progress=False)


# -- each measure ----------------------------------------------------------------------------------------------------


def world_sizes(folder: Path, sizes: list[int], steps: int) -> dict[str, float]:
    """Return how far the weights of all families are apart over the numbers of processes."""
    worlds.prepare(folder, steps)
    pairs = []
    for before, size in zip([0, *sizes], sizes, strict=False):
        worlds.launch(folder, size, str(before) if before else "")
        pairs += [(f"{sizes[0]}/*", f"{size}/*{end}") for end in ("", "-continued") if before]
    apart = [far for pair in pairs for far in worlds.apart(folder, *pair).values()]
    largest, mean = max(far.largest for far in apart), max(far.mean for far in apart)
    return {"world_size_max_diff": largest, "world_size_mean_diff": mean}


def shared_model(folder: Path) -> dict[str, float]:
    """Return how far the losses of a sharded model are from those of a whole one."""
    one, two = (sharded.launch(folder, name, count)["losses"] for name, count in (("one", 1), ("two", 2)))
    return {"fsdp2_max_diff": max(abs(a - b) for case in one for a, b in zip(one[case], two[case], strict=True))}


def efficiency(folder: Path, model: str, steps: int) -> dict[str, Any]:
    """Return the seconds of a step of one process with two threads, and of two with one thread each."""
    found = {}
    for count in (1, 2):
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(2 // count)}
        out = folder / f"steps-{count}.json"
        words = [__file__, "--worker", "steps", str(out), model, str(steps)]
        subprocess.run([*command, *words], check=True, env=environment, timeout=3600)
        found[count] = json.loads(out.read_text())
    return {"two_process_efficiency": found[1] / found[2], "step_seconds": {"1 x 2": found[1], "2 x 1": found[2]}}


def steps_worker(out: Path, model: str, steps: int) -> None:
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    run = training(model, {"weights": "lora", "lora_r": 16}, episodes_per_step=4, row_tokens=2048)
    trainer = made(run, out.parent / out.stem)
    seconds = []
    for _ in range(steps + 1):
        started = time.monotonic()
        trainer.take_step()
        seconds.append(time.monotonic() - started)
    if trainer.accelerator.is_main_process:
        out.write_text(json.dumps(median(seconds[1:])))
    trainer.accelerator.wait_for_everyone()
    trainer.accelerator.end_training()


@contextmanager
def model_time(spent: list[float]) -> Iterator[None]:
    """Return a context in which the CPU time of forward and backward passes is added up in `spent`."""
    forward, backward = Backbone.run, torch.Tensor.backward

    def timed(work: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            try:
                return work(*args, **kwargs)
            finally:
                spent.append(time.process_time() - started)

        return run

    Backbone.run, torch.Tensor.backward = timed(forward), timed(backward)  # type: ignore[method-assign]
    try:
        yield
    finally:
        Backbone.run, torch.Tensor.backward = forward, backward  # type: ignore[method-assign]


def overheads(folder: Path, model: str, steps: int) -> dict[str, float]:
    """Return what a step costs beside the model, and for how long a checkpoint holds it up."""
    torch.set_num_threads(1)
    trainer = made(training(model, {"weights": "full"}, episodes_per_step=2, row_tokens=2048), folder)
    trainer.take_step()
    spent: list[float] = []
    started = time.process_time()
    with model_time(spent):
        for _ in range(steps):
            trainer.take_step()
    rest = time.process_time() - started - sum(spent)
    held = []
    for _ in range(3):
        trainer.take_step()
        began = time.monotonic()
        trainer.save_checkpoint(wait=False)
        held.append(time.monotonic() - began)
        trainer.checkpoints.finish()
    whole = sum(p.numel() for p in trainer.method.learned().values())
    share = 100 * median(held) / 60
    return {"step_overhead_pct": 100 * rest / sum(spent), "checkpoint_overhead_pct": share, "learned_weights": whole}


def plan_worker(out: Path, model: str, name: str) -> None:
    """Write what a plan says of a training's memory, and what it takes."""
    torch.set_num_threads(1)
    backbone, row_tokens = PLANNED[name]
    run = training(model, backbone, episodes_per_step=2, row_tokens=row_tokens, max_steps=PLANNED_STEPS)
    planned = training_plan(run, suite(), 1, 1.0).memory
    made(training("tiny-random", backbone), out.parent / "first").take_step()  # what is loaded once is not counted
    gc.collect()
    before = resident("VmRSS")
    trainer = made(run, out.parent / out.stem)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    for _ in range(PLANNED_STEPS):
        trainer.take_step()
    peak = resident("VmHWM")
    out.write_text(json.dumps({"planned_mib": planned / 2**20, "peak_mib": peak - before}))


def resident(key: str) -> float:
    """Return MiB by Linux's account of this process."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


def plans(folder: Path, model: str, names: list[str]) -> dict[str, Any]:
    """Return the errors of the plan's memory, each training in processes of its own."""
    found = {}
    for number, name in enumerate(names):
        given_back, kept = (planned(folder / f"{number}-{i}.json", model, name, env) for i, env in enumerate(MALLOC))
        measured = {**given_back, "default_peak_mib": kept["peak_mib"]}
        error = 100 * (measured["planned_mib"] / measured["peak_mib"] - 1)
        found[name] = {key: round(value, 1) for key, value in {**measured, "error_pct": error}.items()}
    return {"plan_error_pct": max(abs(one["error_pct"]) for one in found.values()), "plan": found}


def planned(out: Path, model: str, name: str, environment: dict[str, str]) -> dict[str, float]:
    """Return what `plan_worker` writes in a process with these further environment variables."""
    command = [sys.executable, __file__, "--worker", "plan", str(out), model, name]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT), **environment}, timeout=3600)
    measured: dict[str, float] = json.loads(out.read_text())
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=256, help="of the random model")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--model", help="the model that is planned, by its name; the random one by default")
    parser.add_argument("--steps", type=int, default=6, help="that are timed")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="that are measured")
    parser.add_argument("--quick", action="store_true", help="little of everything")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        kind, out, model, what = options.worker
        plan_worker(Path(out), model, what) if kind == "plan" else steps_worker(Path(out), model, int(what))
        return
    quick, began = options.quick, time.monotonic()
    result: dict[str, Any] = {"benchmark": "scaling"}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model = make_model(folder / "model", 64 if quick else options.width, 2 if quick else options.layers)
        steps = 2 if quick else options.steps
        for part, work in (
            ("worlds", lambda at: world_sizes(at, [1, 2] if quick else [1, 2, 4], 4 if quick else 50)),
            ("sharded", shared_model),
            ("steps", lambda at: efficiency(at, model, steps)),
            ("overheads", lambda at: overheads(at, model, steps)),
            ("plans", lambda at: plans(at, options.model or model, list(PLANNED)[: 1 if quick else None])),
        ):
            if part not in options.parts:
                continue
            (folder / part).mkdir()
            result |= work(folder / part)
            print(f"{part} done after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    about = {name: value for name, value in manifest().items() if name in ("machine", "versions")}
    print(json.dumps({**result, "limits": LIMITS, "seconds": round(time.monotonic() - began, 1), **about}))


if __name__ == "__main__":
    main()
