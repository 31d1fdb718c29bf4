"""Few-shot classification beside llama.cpp with its prompt cache, on the same weights and tokens.

    .venv/bin/pip install xllamacpp
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/llama_cpp.py                   # two to four minutes

The model is exported as GGUF in the precision in which ours runs, and llama.cpp (by xllamacpp) opens that file. Both
answer the same queries after the same 16 demonstrations, each of which asks for one of four labels of one token. So
one generated token with the log-probabilities of the likeliest ones is all that llama.cpp has to do.

- `over_llama_cpp`: queries a second of `predict` on all texts over those of llama.cpp, whose server gets them at once,
  with the best of several numbers of parallel slots.
- `one_query_over_llama_cpp`: the median seconds of llama.cpp for one query over those of `predict`.
- `largest_difference`: of a label's log-probability. `answers_that_differ`: queries with another label.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from inference import WORDS, best, texts

from metaicl import FewShotClassifier
from metaicl.training.export import export_model
from metaicl.training.run import manifest

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
        request = {"prompt": prompt, "n_predict": 1, "temperature": 0, "logprobs": LIKELIEST, "cache_prompt": True}
        found = self.server.handle_completions(request)["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        return {token["id"]: token["logprob"] for token in found}

    def all_likeliest(self, prompts: Sequence[list[int]]) -> list[dict[int, float]]:
        """Return the same for many prompts, which are sent as soon as a slot is free."""
        with ThreadPoolExecutor(self.slots) as pool:
            return list(pool.map(self.likeliest, prompts))


def prompts_of(classifier: FewShotClassifier, queries: Sequence[str]) -> tuple[list[list[int]], list[int]]:
    """Return (the tokens before each query's answer, each label's token)."""
    fitted = classifier.predictor_
    form, encoder = fitted.method.form_of(fitted.task), fitted.method.backbone.texts
    before = "".join(segment.text for example in fitted.support for segment in form.demonstration(example))
    prompts, answers = [], set()
    for text in queries:
        whole = []
        for label in fitted.labels:
            question, answer = (segment.text for segment in form.branch(classifier._query(text), label))
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
        if count == 1:
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
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "gguf"
        found = measured(path, options.model, options.queries, options.slots, torch.get_num_threads())
    about = {name: value for name, value in manifest().items() if name in ("machine", "versions")}
    print(json.dumps({"benchmark": "llama_cpp", **found, **about}))


if __name__ == "__main__":
    main()
