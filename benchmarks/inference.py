"""What few-shot inference costs beyond the bare model.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/inference.py            # smollm2-135m, 16 shots; some three minutes
    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/inference.py --quick    # tiny random model; its times mean nothing

Each side of a ratio runs in this process and in turn:

- `load_over_from_pretrained`: opening the method over `from_pretrained` of model and tokenizer.
- `fit_over_prefix`: `fit` on 16 demonstrations over one forward pass of their prompt that keeps its states.
- `query_over_forward`: `predict` of one text over the forward pass of the same new tokens after the same states, with
  logits where `predict` needs them; medians.
- `tokens_recomputed`: how many more tokens a prediction runs after 16 demonstrations than after 2.
- `queries_per_s_ratio`: queries in one call over a loop that runs each option's whole prompt (a sample, scaled).

The answers of the loop have to be those of `predict`.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, DynamicCache

from metaicl import FewShotClassifier
from metaicl.inference.opening import MethodSource, close_methods
from metaicl.lm import tiny
from metaicl.lm.models import resolve
from metaicl.training.run import manifest
from task_suites.example import Example

TOPICS = ("delivery", "login", "refund", "praise")
WORDS = ("parcel", "password", "money", "service", "courier", "account", "invoice", "shop")


def texts(count: int, start: int = 0) -> list[str]:
    """Return short messages, none twice."""
    return [f"Message {start + i}: my {WORDS[i % 8]} is not what I expected, please look at it." for i in range(count)]


def best(run: Callable[[], Any], times: int) -> list[float]:
    """Return the seconds of each run; Python's garbage collector rests meanwhile, as it does in `timeit`."""
    found = []
    for _ in range(times):
        gc.collect()
        gc.disable()
        started = time.perf_counter()
        run()
        found.append(time.perf_counter() - started)
        gc.enable()
    return found


class Plain:
    """The model as transformers gives it, in the precision in which ours runs."""

    def __init__(self, backbone: Any, folder: str):
        self.backbone = backbone
        dtype = next(backbone.model.parameters()).dtype
        if folder == tiny.NAME:
            self.model = tiny.tiny_model().to(dtype).eval()
        else:
            self.model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()

    @torch.no_grad()
    def states(self, ids: list[int]) -> Any:
        """Return the states after some tokens."""
        cache = DynamicCache()
        with self.backbone.precision():
            self.model(torch.tensor([ids]), cache=cache, use_cache=True, logits_to_keep=1)
        return cache

    @torch.no_grad()
    def continued(self, ids: torch.Tensor, positions: torch.Tensor, keep: torch.Tensor, cache: Any) -> None:
        """Run new tokens after states, with logits at some of them."""
        with self.backbone.precision():
            self.model(ids, position_ids=positions, cache=cache, use_cache=True, logits_to_keep=keep)

    @torch.no_grad()
    def score(self, ids: list[int], start: int) -> float:
        """Return the mean log-probability of the tokens from `start` on, given those before them."""
        with self.backbone.precision():
            logits = self.model(torch.tensor([ids])).logits[0].float()
        shares = logits.log_softmax(-1)
        return float(np.mean([float(shares[i - 1, ids[i]]) for i in range(start, len(ids))]))


def passes(model: str, run: Callable[[], Any]) -> list[dict[str, Any]]:
    """Return what the model is given at each of its forward passes while something runs."""
    seen: list[dict[str, Any]] = []
    network = MethodSource.find(model).open().backbone.model
    with network.register_forward_pre_hook(lambda module, args, kwargs: seen.append(dict(kwargs)), with_kwargs=True):
        run()
    return seen


def tokens_run(classifier: FewShotClassifier, text: str) -> int:
    backbone = classifier.predictor_.method.backbone
    before = backbone.tokens_run
    classifier.predict([text])
    return backbone.tokens_run - before


def measured(model: str, shots: int, queries: int, sample: int, repeats: int) -> dict[str, Any]:
    folder = resolve(model) if model != tiny.NAME else model
    support, labels = texts(shots), [TOPICS[i % 4] for i in range(shots)]
    classifier = FewShotClassifier(model).fit(support, labels)
    plain = Plain(classifier.predictor_.method.backbone, folder)
    (shown,) = passes(model, lambda: fresh(model, support, labels))
    prompt = shown["input_ids"][0].tolist()
    fit = best(lambda: fresh(model, support, labels), repeats)
    prefix = best(lambda: plain.states(prompt), repeats)
    (given,) = passes(model, lambda: classifier.predict(["My parcel came open."]))
    cache = plain.states(prompt)
    keep = given.get("logits_to_keep")
    positions = given["position_ids"]
    asked, bare = [], []
    for i in range(10 * repeats):
        asked += best(lambda i=i: classifier.predict([f"My parcel came open {i % 10}."]), 1)
        copied = deepcopy(cache)
        bare += best(lambda copied=copied: plain.continued(given["input_ids"], positions, keep, copied), 1)
    short = FewShotClassifier(model).fit(support[:4], labels[:4])
    many = texts(queries, 1000)
    (whole,) = best(lambda: classifier.predict(many), 1)
    loop, wrong = plain_loop(classifier, plain, many[:sample])
    return {
        "fit_over_prefix": min(fit) / min(prefix),
        "query_over_forward": statistics.median(asked) / statistics.median(bare),
        "query_ms": 1000 * statistics.median(asked),
        "new_tokens": int(given["input_ids"].numel()),
        "tokens_recomputed": tokens_run(classifier, "My parcel.") - tokens_run(short, "My parcel."),
        "queries_per_s": queries / whole,
        "queries_per_s_ratio": loop / sample / (whole / queries),
        "wrong": wrong,
        "setting": {"model": model, "shots": shots, "prompt_tokens": len(prompt), "queries": queries, "sample": sample},
    }


def fresh(model: str, support: list[str], labels: list[str]) -> None:
    """Fit a classifier whose prompt nobody has encoded before."""
    classifier = FewShotClassifier(model)
    MethodSource.find(model).open().backbone.texts.forget()
    classifier.fit(support, labels)


def plain_loop(classifier: FewShotClassifier, plain: Plain, sample: list[str]) -> tuple[float, int]:
    """Return (seconds of whole prompts one by one, answers that differ from `predict`)."""
    fitted = classifier.predictor_
    form, encoder = fitted.method.form_of(fitted.task), fitted.method.backbone.texts
    before = "".join(s.text for e in fitted.support for s in form.demonstration(e))
    seconds, answers = 0.0, []
    for text in sample:
        query = Example(text, None, fitted.labels)
        started = time.perf_counter()
        scores = []
        for option in fitted.labels:
            question, answer = (segment.text for segment in form.branch(query, option))
            context = before + question
            whole = encoder.whole(context + answer)
            start = whole.reaching_beyond(len(context.rstrip()))
            scores.append(plain.score(list(whole.ids), start))
        answers.append(fitted.labels[int(np.argmax(scores))])
        seconds += time.perf_counter() - started
    return seconds, sum(a != b for a, b in zip(answers, classifier.predict(sample).tolist(), strict=True))


def loading(model: str, repeats: int) -> float | None:
    """Return the time of opening a method over that of `from_pretrained`."""
    if model == tiny.NAME:
        return None
    from transformers import AutoTokenizer

    folder, dtype = resolve(model), next(MethodSource.find(model).open().backbone.model.parameters()).dtype

    def ours() -> None:
        close_methods()
        MethodSource.find(model).open()

    def theirs() -> None:
        AutoTokenizer.from_pretrained(folder)
        AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)

    opened, loaded = [], []
    for _ in range(repeats):
        opened += best(ours, 1)
        loaded += best(theirs, 1)
    return min(opened) / min(loaded)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--sample", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="the tiny random model and few queries")
    given = parser.parse_args()
    if given.quick:
        given.model, given.queries, given.sample, given.repeats = tiny.NAME, 20, 5, 1
    found = measured(given.model, 16, given.queries, given.sample, given.repeats)
    found["load_over_from_pretrained"] = loading(given.model, given.repeats)
    for name, value in found.items():
        print(f"{name:28} {value if not isinstance(value, float) else round(value, 3)}")
    rounded = {n: round(v, 4) if isinstance(v, float) else v for n, v in found.items()}
    print(json.dumps({"benchmark": "inference", **rounded, **manifest()}))


if __name__ == "__main__":
    main()
