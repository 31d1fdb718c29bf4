"""Few-shot classification beside llama.cpp with its prompt cache, on the same weights and tokens.

    .venv/bin/pip install xllamacpp
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/llama_cpp.py                   # ten minutes

The model is exported as GGUF in the precision in which ours runs, and llama.cpp (by xllamacpp) opens that file. Both
answer the same queries after the same 16 demonstrations, each of which asks for one of four labels of one token. So
one generated token with the log-probabilities of the likeliest ones is all that llama.cpp has to do.

- `over_llama_cpp`: queries a second of `predict` on all texts over those of llama.cpp, whose server gets them at once,
  with the best of several numbers of parallel slots.
- `one_query_over_llama_cpp`: the median seconds of llama.cpp for one query over those of `predict`.
- `largest_difference`: of a label's log-probability. `answers_that_differ`: queries with another label.
- `served`: requests a second, and the median and 99th percentile of their times, of many clients over HTTP: those of
  `metaicl serve` and of llama.cpp's own server, each a process of its own, by turns. `served_over_llama_cpp` is the
  ratio of the requests a second, with the best number of slots.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
from inference import WORDS, best, texts
from serving import load, rounded
from soak import started

from metaicl import FewShotClassifier
from metaicl.training.export import export_model
from metaicl.training.run import manifest
from task_suites.example import Example

LABELS = ("delivery", "account", "payment", "praise")
LIKELIEST = 500  # tokens whose log-probabilities llama.cpp hands over


class LlamaCpp:
    """llama.cpp's server on a GGUF file."""

    def __init__(self, path: Path, slots: int, threads: int, tokens: int):
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_parallel, params.n_ctx, params.kv_unified = slots, (slots + 1) * tokens, True
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.warmup, params.verbosity = False, -1
        self.server, self.slots = xllamacpp.Server(params), slots

    def likeliest(self, prompt: list[int]) -> dict[int, float]:
        """Return the log-probabilities of the likeliest next tokens."""
        found = self.server.handle_completions(request(prompt))["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return {token["id"]: token["logprob"] for token in found}

    def all_likeliest(self, prompts: Sequence[list[int]]) -> list[dict[int, float]]:
        """Return the same for many prompts, which are sent as soon as a slot is free."""
        with ThreadPoolExecutor(self.slots) as pool:
            return list(pool.map(self.likeliest, prompts))


def request(prompt: list[int], likeliest: int = LIKELIEST) -> dict[str, Any]:
    """Return what llama.cpp's server is asked for the next token."""
    return {"prompt": prompt, "n_predict": 1, "temperature": 0, "logprobs": likeliest, "cache_prompt": True}


@contextmanager
def server_of(path: Path, slots: int, threads: int, tokens: int) -> Iterator[str]:
    """Run llama.cpp's server in a process; yield its address."""
    words = [str(path), *map(str, (slots, threads, tokens))]
    command = [sys.executable, __file__, "--worker", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdin is not None and running.stdout is not None
        try:
            yield next(line for line in running.stdout if line.startswith("http")).strip()
        finally:
            running.stdin.close()  # it ends with its input


async def load_llama_cpp(address: str, prompts: Sequence[list[int]], clients: int) -> dict[str, float]:
    """Return the numbers of one load, whose clients ask for a few log-probabilities each."""
    waiting, times = iter(prompts), []

    async def client(http: httpx.AsyncClient) -> None:
        for prompt in waiting:
            begun = time.perf_counter()
            (await http.post("/v1/completions", json=request(prompt, 8))).raise_for_status()
            times.append(time.perf_counter() - begun)

    async with httpx.AsyncClient(base_url=address, timeout=600) as http:
        begun = time.perf_counter()
        await asyncio.gather(*(client(http) for _ in range(clients)))
        seconds = time.perf_counter() - begun
    p50, p99 = np.percentile(times, [50, 99])
    return {"requests_per_s": len(prompts) / seconds, "p50_ms": 1000 * p50, "p99_ms": 1000 * p99}


def under_load(path: Path, model: str, requests: int, clients: int, slots: Sequence[int], threads: int) -> Any:
    """Return the numbers of both servers with many clients on one task."""
    classifier = FewShotClassifier(model).fit(texts(16), [LABELS[i % 4] for i in range(16)])
    prompts, _ = prompts_of(classifier, texts(requests, 200_000))
    demos = [{"input": text, "output": LABELS[i % 4]} for i, text in enumerate(texts(16))]
    with started(model) as (_, address):
        task = httpx.post(f"{address}/tasks", json={"demonstrations": demos}, timeout=120).json()["id"]
        asyncio.run(load(address, task, clients, 2 * clients, 90_000))  # warm-up
        ours, _ = asyncio.run(load(address, task, clients, requests, 200_000))
    theirs = {}
    for count in slots:
        with server_of(path / "model.gguf", count, threads, max(map(len, prompts)) + 8) as address:
            asyncio.run(load_llama_cpp(address, prompts[: 2 * count], count))  # each slot has the demonstrations now
            theirs[str(count)] = asyncio.run(load_llama_cpp(address, prompts, clients))
    most = max(one["requests_per_s"] for one in theirs.values())
    served = {"clients": clients, "requests": requests, "ours": ours, "llama_cpp_by_slots": theirs}
    return {"served_over_llama_cpp": ours["requests_per_s"] / most, "served": served}


def prompts_of(classifier: FewShotClassifier, queries: Sequence[str]) -> tuple[list[list[int]], list[int]]:
    """Return (the tokens before each query's answer, each label's token)."""
    fitted = classifier.predictor_
    form, encoder = fitted.method.form_of(fitted.task), fitted.method.backbone.texts
    before = "".join(segment.text for example in fitted.support for segment in form.demonstration(example))
    prompts, answers = [], set()
    for text in queries:
        whole = []
        for label in fitted.labels:
            question, answer = (segment.text for segment in form.branch(Example(text, None, fitted.labels), label))
            whole.append(list(encoder.whole(before + question + answer).ids))
        heads = {tuple(ids[:-1]) for ids in whole}
        answers.add(tuple(ids[-1] for ids in whole))
        if len(heads) > 1:
            raise SystemExit("a label has more than one token here")
        prompts.append(list(heads.pop()))
    (tokens,) = answers
    return prompts, list(tokens)


def measured(path: Path, model: str, queries: int, slots: Sequence[int], threads: int) -> dict[str, Any]:
    classifier = FewShotClassifier(model).fit(texts(16), [LABELS[i % 4] for i in range(16)])
    dtype = str(next(classifier.predictor_.method.backbone.model.parameters()).dtype).removeprefix("torch.")
    export_model(model, path, dtype=dtype, gguf=True)
    many = texts(queries, 1000)
    prompts, answers = prompts_of(classifier, many)
    longest = max(map(len, prompts)) + 8
    classifier.predict(many[:2])
    ours = min(best(lambda: classifier.predict(many), 2))
    labels, shares = classifier.predict(many), classifier.predictor_.scores(many)
    theirs: dict[int, float] = {}
    for count in slots:
        engine = LlamaCpp(path / "model.gguf", count, threads, longest)
        engine.all_likeliest(prompts[: 2 * count])  # each slot has the demonstrations in its cache now
        started = time.perf_counter()
        found = engine.all_likeliest(prompts)
        theirs[count] = time.perf_counter() - started
        if count == min(slots):
            alone = one_query(classifier, engine)
        del engine
    scores = [[found_of.get(token, -math.inf) for token in answers] for found_of in found]
    chosen = [classifier.predictor_.labels[max(range(len(row)), key=row.__getitem__)] for row in scores]
    pairs = [(a, float(b)) for row, mine in zip(scores, shares, strict=True) for a, b in zip(row, mine, strict=True)]
    return {
        "over_llama_cpp": min(theirs.values()) / ours,
        **alone,
        "queries_per_s": queries / ours,
        "llama_cpp_queries_per_s": {count: queries / seconds for count, seconds in theirs.items()},
        "largest_difference": max(abs(a - b) for a, b in pairs if math.isfinite(a)),
        "answers_that_differ": sum(a != b for a, b in zip(chosen, labels.tolist(), strict=True)),
        "setting": {"model": model, "dtype": dtype, "shots": 16, "queries": queries, "threads": threads},
    }


def one_query(classifier: FewShotClassifier, engine: LlamaCpp, times: int = 30) -> dict[str, float]:
    """Return the medians of one query at a time, the two in turn."""
    news = [f"My {WORDS[i % 8]} came open, item {i}." for i in range(times)]
    prompts, _ = prompts_of(classifier, news)
    ours, theirs = [], []
    for text, prompt in zip(news, prompts, strict=True):
        ours += best(lambda text=text: classifier.predict([text]), 1)
        theirs += best(lambda prompt=prompt: engine.likeliest(prompt), 1)
    mine, other = statistics.median(ours), statistics.median(theirs)
    return {"one_query_over_llama_cpp": other / mine, "query_ms": 1000 * mine, "llama_cpp_query_ms": 1000 * other}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 4, 16], help="of llama.cpp, in turn")
    parser.add_argument("--clients", type=int, default=64, help="of the servers; 0 leaves them out")
    parser.add_argument("--requests", type=int, default=256, help="of these clients")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        path, *counts = options.worker
        engine = LlamaCpp(Path(path), *map(int, counts))
        print(engine.server.listening_address, flush=True)
        sys.stdin.read()
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gguf"
        threads = torch.get_num_threads()
        found = measured(path, options.model, options.queries, options.slots, threads)
        if options.clients:
            found |= under_load(path, options.model, options.requests, options.clients, options.slots, threads)
    about = {name: value for name, value in manifest().items() if name in ("machine", "versions")}
    print(json.dumps(rounded({"benchmark": "llama_cpp", **found, **about})))


if __name__ == "__main__":
    main()
