"""One support set and its queries as the benchmarks score them, and the random GPT-2 with tasks of random words."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import measuring  # noqa: F401 - it sets the environment, so before torch
import numpy as np
import torch
from baselines import Prompts, Scores

from metaicl.lm.backbone import Backbone
from metaicl.lm.prompts import fit
from metaicl.methods.scoring import PromptScorer
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

MODEL = "smollm2-135m"
VOCABULARY = 2000
WIDTH = 1024  # MetaICL's


@dataclass(frozen=True)
class Case:
    """One support set and its queries, with the model twice: under the project's scorer, and plain."""

    backbone: Backbone
    plain: Any
    form: PromptFormat
    task: Task
    support: Sequence[Example]
    queries: Sequence[Example]
    row_tokens: int | None = None

    def scores(self) -> Scores:
        """Return the project's side: summed log-probability of each query's options, in a row; texts are encoded each
        time."""
        self.backbone.texts.forget()
        rows: dict[str, Any] = {} if self.row_tokens is None else {"row_tokens": self.row_tokens}
        scorer = PromptScorer(self.backbone, self.form, self.task, self.support, length="sum", **rows)
        return np.concatenate(scorer.scores([q.hidden() for q in self.queries]))

    def prompts(self) -> Prompts:
        """Return the same prompts as token ids, by the format and the tokenizer only."""

        def ids(text: str) -> list[int]:
            return self.backbone.tokenizer(text, add_special_tokens=False).input_ids

        opening = [*self.form.opening(self.task), *(s for e in self.support for s in self.form.demonstration(e))]
        shown, rows = "".join(s.text for s in opening), []
        for query in self.queries:
            for option in query.options or ():
                *question, scored = self.form.branch(query, option)
                context = shown + "".join(s.text for s in question)
                rows.append((ids(context + scored.text), len(ids(context.rstrip()))))
        least = min(first for _, first in rows) - 1
        columns = zip(*(whole[:least] for whole, _ in rows), strict=True)
        shared = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
        return Prompts(rows[0][0][:shared], [(whole[shared:first], whole[first:]) for whole, first in rows])

    def tokenise_seconds(self) -> float:
        """Seconds of encoding all prompts, with nothing encoded before."""
        self.backbone.texts.forget()
        branches = [[self.form.branch(q, option) for option in q.options or ()] for q in self.queries]
        started = time.perf_counter()
        fit(self.backbone, self.form, self.task, self.support, branches)
        return time.perf_counter() - started


def tiny_gpt2() -> tuple[Any, Any]:
    """Return a random 4-layer GPT-2 and a tokenizer of 2,000 words (line breaks are words of their own)."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    words = ["<end>", "\n", "Answer:", *(f"w{i}" for i in range(VOCABULARY - 3))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<end>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"\n|[^\s]+"), "removed", invert=True)
    config = GPT2Config(
        vocab_size=VOCABULARY,
        n_positions=4096,  # room for 64 demonstrations
        n_embd=128,
        n_layer=4,
        n_head=4,
        initializer_range=0.1,  # five times GPT-2's: a wrong mask then moves log-probabilities by nats
        bos_token_id=0,
        eos_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(config).eval()
    return model, PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>", pad_token="<end>")


def random_task(k: int, queries: int, options: int) -> tuple[Task, list[Example], list[Example]]:
    """Return (task, demonstrations, queries) of random words; the first this many of each are the same for any number.

    Inputs of 18 to 48 words and options of 4 to 7 give prompts of about 700 to 760 tokens at k=16.
    """

    def words(key: str, low: int, high: int) -> str:
        rng = random.Random(f"benchmark/{key}")
        return " ".join(f"w{rng.randrange(VOCABULARY - 3)}" for _ in range(rng.randint(low, high)))

    labels = tuple(words(f"option/{i}", 4, 7) for i in range(options))

    def examples(role: str, count: int) -> list[Example]:
        return [Example(words(f"{role}/{i}", 18, 48), labels[i % options], labels) for i in range(count)]

    return Task("random", "classification", lambda split: (), labels=labels), examples("d", k), examples("q", queries)
