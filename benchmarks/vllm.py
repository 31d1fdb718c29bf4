"""A model on a server of completions, such as vLLM's, against the same model in this process.

    .venv/bin/metaicl export smollm2-135m-metaicl --output_dir models/merged
    vllm serve models/merged --dtype float32 --port 8000                     # in an environment of its own
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/vllm.py --server http://127.0.0.1:8000/v1
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/vllm.py --quick            # the tiny model on `metaicl serve`

Both answer the same queries of built-in tasks, given the same 16 demonstrations, in float32, under each calibration.

- `answers_that_differ`: queries where another option is chosen, other than ties (1e-3 nats).
- `largest_difference`: of an option's score, in nats.
- `named_tokens`: whether the server gives the log-probabilities of named tokens, so that its cache is read.
- `cached_pct`: of the prompts' tokens, those that the server's cache had (vLLM's own count); null where it counts none.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
from serving import rounded
from soak import started

import metaicl
from metaicl.inference.config import PredictRun
from metaicl.inference.predicting import predicted
from metaicl.lm import devices, tiny
from metaicl.lm.completion_server import CompletionServer
from metaicl.lm.released import METAICL
from metaicl.training.run import manifest

TASKS = ("court_matter", "travel_complaint")
TIE = 1e-3  # nats
CALIBRATIONS = ("none", "contextual", "pmi", "cross_fit")


def write_questions(folder: Path, queries: int) -> list[tuple[Path, Path]]:
    """Write demonstrations and queries of each task; return their files."""
    found, draws = [], metaicl.EpisodeSampler(0, 16, queries, stratified=True)
    for task in metaicl.load_suite("embedded").split("meta_test"):
        if task.name in TASKS:
            episode = draws.draw(task, "test", 0)
            pair = (folder / f"{task.name}-demos.jsonl", folder / f"{task.name}-inputs.jsonl")
            for path, examples in zip(pair, (episode.support, episode.queries), strict=True):
                lines = [{"input": one.input, "output": one.output} for one in examples]
                path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
            found.append(pair)
    return found


def measured(model: str, server: str, queries: int, precision: str) -> dict[str, Any]:
    """Return how the answers and scores of both sides differ, and how many tokens the server's cache had."""
    before, pairs, seconds = cache_counts(server), [], {"local": 0.0, "vllm": 0.0}
    with tempfile.TemporaryDirectory() as folder, patch.object(devices, "precision_for", lambda device: precision):
        for (demos, inputs), calibration in product(write_questions(Path(folder), queries), CALIBRATIONS):
            rows = {}
            for engine in ("local", "vllm"):
                where = {"engine": engine, "server": server if engine == "vllm" else None}
                run = PredictRun(demos, inputs, model, method_options={"calibration": calibration}, **where)
                begun = time.perf_counter()
                rows[engine] = list(predicted(run))
                seconds[engine] += time.perf_counter() - begun
            pairs += zip(rows["local"], rows["vllm"], strict=True)
    after = cache_counts(server)
    differences = [
        abs(here["scores"][name] - there["scores"][name]) for here, there in pairs for name in here["scores"]
    ]
    read, asked = (b - a for a, b in zip(before, after, strict=True))
    return {
        "answers": len(pairs),
        "answers_that_differ": sum(map(differ, *zip(*pairs, strict=True))),
        "largest_difference": max(differences),
        "named_tokens": CompletionServer(server).names_tokens,
        "cached_pct": 100 * read / asked if asked else None,
        "seconds": seconds,
    }


def differ(here: dict[str, Any], there: dict[str, Any]) -> bool:
    """Return whether another option is chosen, which lies further from the best one than a tie."""
    return bool(here["scores"][here["answer"]] - here["scores"][there["answer"]] > TIE)


def cache_counts(server: str) -> tuple[float, float]:
    """Return (the tokens that vLLM's cache had, all that it looked for) since the server's start; zeros elsewhere."""
    page = httpx.get(f"{server.removesuffix('/v1')}/metrics", timeout=60)
    found = dict(re.findall(r"^vllm:prefix_cache_(hits|queries)_total\S* (\S+)$", page.text, re.MULTILINE))
    return float(found.get("hits", 0)), float(found.get("queries", 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=METAICL)
    parser.add_argument("--server", default="http://127.0.0.1:8000/v1", help="serves the exported model")
    parser.add_argument("--queries", type=int, default=12, help="a task")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        with started(tiny.NAME) as (_, address):
            found = measured(tiny.NAME, f"{address}/v1", 2, devices.precision_for("cpu"))  # the server's
    else:
        found = measured(options.model, options.server, options.queries, "float32")
    about = {name: value for name, value in manifest().items() if name in ("machine", "versions")}
    largest = float(f"{found['largest_difference']:.0e}")
    print(json.dumps(rounded({"benchmark": "vllm", **found, **about}) | {"largest_difference": largest}))


if __name__ == "__main__":
    main()
