"""The service under load: requests a second and their times, with 1, 8 and 64 clients on one 16-shot task.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/serving.py            # smollm2-135m; some five minutes
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/serving.py --quick    # the tiny random model; its times mean nothing

The server is a process of its own on loopback; this one holds the clients, each of which sends its next query when it
has the answer to its last one. What it is compared with runs after the server has gone: the same model as transformers
gives it, called for each option of each query with the whole prompt.

- `throughput_ratio`: requests a second of 64 clients over those of that loop.
- `p99_over_p50` of the times of requests, with 64 clients.
- `wrong`: answers that differ from `FewShotClassifier`'s where its two best options are more than 0.02 apart. What runs
  beside a query changes its scores by rounding, so that closer ones may swap ranks (`near_ties`).
- `lost`: requests without an answer.
- `rss_growth_mb`: growth of the server's memory over 20,000 requests of every kind (`soak.py`), which count in `wrong`
  and `lost` too.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

import httpx
import numpy as np
from inference import TOPICS, Plain, plain_loop, texts
from scipy.special import softmax
from soak import soaked, started

from metaicl import FewShotClassifier
from metaicl.lm import tiny
from metaicl.lm.models import resolve
from metaicl.training.run import manifest

SHOTS = 16
CLOSE = 0.02  # a difference of probabilities


async def load(
    address: str, task: str, clients: int, requests: int, start: int
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (the numbers of one load, the answers by query)."""
    waiting, times, answers, lost = iter(texts(requests, start)), [], {}, 0

    async def client(http: httpx.AsyncClient) -> None:
        nonlocal lost
        for text in waiting:
            begun = time.perf_counter()
            try:
                answer = await http.post(f"/tasks/{task}/predict", json={"inputs": [text]})
                answers[text] = answer.json()["answers"][0]["answer"]
            except (httpx.HTTPError, KeyError):
                lost += 1
            times.append(time.perf_counter() - begun)

    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=120, limits=limits) as http:
        begun = time.perf_counter()
        await asyncio.gather(*(client(http) for _ in range(clients)))
        seconds = time.perf_counter() - begun
    p50, p99 = np.percentile(times, [50, 99])
    numbers = {"requests_per_s": requests / seconds, "p50_ms": 1000 * p50, "p99_ms": 1000 * p99, "lost": lost}
    return numbers, answers


def served(model: str, requests: int) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Return (the numbers by clients, answers by query)."""
    demos = [{"input": text, "output": TOPICS[i % 4]} for i, text in enumerate(texts(SHOTS))]
    with started(model) as (_, address):
        task = httpx.post(f"{address}/tasks", json={"demonstrations": demos}, timeout=120).json()["id"]
        asyncio.run(load(address, task, 64, min(256, requests), 90_000))  # warm-up
        found, answers = {}, {}
        for clients in (1, 8, 64):
            count = requests if clients == 64 else max(8, requests // 8)
            found[str(clients)], more = asyncio.run(load(address, task, clients, count, 100_000 * clients))
            answers |= more
    return found, answers


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--requests", type=int, default=1000, help="of 64 clients")
    parser.add_argument("--sample", type=int, default=10, help="queries of the loop of whole prompts")
    parser.add_argument("--soak", type=int, default=20_000, help="requests over which memory is measured")
    parser.add_argument("--only-soak", action="store_true", help="nothing but that")
    parser.add_argument("--quick", action="store_true", help="the tiny random model and few requests")
    given = parser.parse_args()
    if given.quick:
        given.model, given.requests, given.sample, given.soak = tiny.NAME, 128, 3, 500
    long = soaked(given.soak)
    if given.only_soak:
        print(json.dumps(rounded({"benchmark": "serving", **long, **manifest()})))
        return
    found, answers = served(given.model, given.requests)
    classifier = FewShotClassifier(given.model).fit(texts(SHOTS), [TOPICS[i % 4] for i in range(SHOTS)])
    shares = softmax(classifier.predictor_.scores(list(answers)), axis=1)  # as the service gives them
    own = classifier.classes_[shares.argmax(1)].tolist()
    close = np.sort(shares, 1)[:, -1] - np.sort(shares, 1)[:, -2] < CLOSE
    differs = np.array([a != b for a, b in zip(answers.values(), own, strict=True)])
    plain = Plain(
        classifier.predictor_.method.backbone, resolve(given.model) if given.model != tiny.NAME else given.model
    )
    seconds, _ = plain_loop(classifier, plain, texts(given.sample, 5000))
    most = found["64"]
    line = {
        "benchmark": "serving",
        "throughput_ratio": most["requests_per_s"] * seconds / given.sample,
        "p99_over_p50": most["p99_ms"] / most["p50_ms"],
        "wrong": int((differs & ~close).sum()) + long["wrong"],
        "near_ties": int((differs & close).sum()),
        "lost": sum(one["lost"] for one in found.values()) + long["lost"],
        "rss_growth_mb": long["rss_growth_mb"],
        "soak": {name: value for name, value in long.items() if name not in ("wrong", "lost", "rss_growth_mb")},
        "whole_prompts_per_s": given.sample / seconds,
        "clients": found,
        "setting": {"model": given.model, "shots": SHOTS, "requests": given.requests, "soak": given.soak},
    }
    print(json.dumps(rounded({**line, **manifest()})))


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return round(float(value), 3) if isinstance(value, float) else value


if __name__ == "__main__":
    main()
