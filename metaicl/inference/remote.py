"""Methods in context whose model runs elsewhere: behind a server that speaks OpenAI's `/v1/completions`, such as vLLM.

Prompts are made here, as tokens, by the formats that the model in this process would be given. The server returns the
log-probability of each token of a prompt (`echo` and `logprobs`), and computes what prompts share once where it caches
prefixes. Only the tokenizer and the configuration of the model are read here.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import numpy as np
import torch

from metaicl.inference.opening import plain_config
from metaicl.lm.config import BackboneConfig
from metaicl.lm.merged import OWN, base_of, holds_adapters
from metaicl.lm.models import resolve
from metaicl.lm.prompts import Branch
from metaicl.lm.text_encoder import TextEncoder
from metaicl.methods import method_class
from metaicl.methods.base import EMPTY, Method
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.scoring import PromptScorer
from metaicl.training.checkpoint import MethodConfig, read_card, trained_folder
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.task import Task

BATCH = 64  # prompts of one request
SECONDS = 600


class Completions:
    """A server of completions.

    Args:
        address: up to `/v1`, such as http://127.0.0.1:8000/v1. The key in OPENAI_API_KEY goes with each request.

    Attributes:
        model: the name of the model that it serves, the first where there are several.

    Raises:
        UserError: it cannot be reached, or serves no model.
    """

    def __init__(self, address: str):
        self.address = address.rstrip("/")
        models = self._sent("models").get("data") or []
        if not models:
            raise UserError("the server serves no model", where=self.address)
        self.model = str(models[0]["id"])

    def logprobs(self, prompts: Sequence[Sequence[int]]) -> list[np.ndarray]:
        """Return the log-probability of each token of each prompt given those before it; of the first one it is NaN."""
        found = []
        asked = {"max_tokens": 1, "temperature": 0, "echo": True, "logprobs": 1}
        for ids, choice in zip(prompts, self._choices(prompts, asked), strict=True):
            values = ((choice.get("logprobs") or {}).get("token_logprobs") or [])[: len(ids)]
            if len(values) != len(ids):
                raise UserError(
                    "the server does not return the log-probabilities of a prompt's tokens",
                    where=self.address,
                    found=f"{len(values)} values for {len(ids)} tokens",
                    fix="Serve the model with vLLM or with metaicl serve.",
                )
            found.append(np.array([math.nan if value is None else value for value in values]))
        return found

    def texts(self, prompts: Sequence[Sequence[int]], limit: int) -> list[str]:
        """Return the likeliest text after each prompt, token by token, up to a line break."""
        asked = {"max_tokens": limit, "temperature": 0, "stop": ["\n"]}
        return [str(choice["text"]) for choice in self._choices(prompts, asked)]

    def _choices(self, prompts: Sequence[Sequence[int]], asked: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for start in range(0, len(prompts), BATCH):
            part = [list(ids) for ids in prompts[start : start + BATCH]]
            answer = self._sent("completions", {"model": self.model, "prompt": part, **asked})
            choices = sorted(answer.get("choices") or [], key=lambda choice: choice["index"])
            if len(choices) != len(part):
                raise UserError(
                    "the server left prompts without an answer",
                    where=self.address,
                    found=f"{len(choices)} of {len(part)}",
                )
            yield from choices

    def _sent(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer to a request."""
        headers = {"Content-Type": "application/json"}
        if key := os.environ.get("OPENAI_API_KEY"):
            headers["Authorization"] = f"Bearer {key}"
        data = None if body is None else json.dumps(body).encode()
        where = f"{self.address}/{path}"
        try:
            with urlopen(Request(where, data, headers), timeout=SECONDS) as answer:
                return dict(json.load(answer))
        except HTTPError as error:
            said = error.read(2000).decode(errors="replace").strip()
            raise UserError(f"the server refused a request ({error.code})", where=where, found=said[:300]) from None
        except (URLError, OSError, ValueError) as error:
            fix = "Start it, such as: vllm serve FOLDER --enable-prefix-caching. Or give its address as --server."
            raise UserError(f"the server cannot be used: {error}", where=where, fix=fix) from None


class RemoteBackbone:
    """What prompts need of a model that runs elsewhere: its tokenizer and the length of its context."""

    kind = "causal"

    def __init__(self, config: BackboneConfig):
        from transformers import AutoConfig, AutoTokenizer

        source = resolve(config.model)
        source = resolve(base_of(source)) if holds_adapters(source) else source
        self.config, self.tokenizer = config, AutoTokenizer.from_pretrained(source)
        self.texts, self.device = TextEncoder(self.tokenizer), torch.device("cpu")
        self.context = int(getattr(AutoConfig.from_pretrained(source), "max_position_embeddings", 1 << 30))

    def encode(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text by itself."""
        return self.texts.encode(text).ids

    def shares(self, length: int) -> bool:
        """Return False: no state is kept here."""
        return False

    def trainable(self) -> dict[str, Any]:
        """Return nothing: no weight is here."""
        return {}


class RemoteScorer(PromptScorer):
    """Scores and generates through a server; what is asked, and what is made of the values, is `PromptScorer`'s."""

    server: Completions

    def _row_logprobs(
        self, prefix: Sequence[int], branches: Sequence[Sequence[Branch]]
    ) -> list[list[np.ndarray]] | None:
        prompts = [[*prefix, *branch.ids] for options in branches for branch in options]
        found = iter(self.server.logprobs(prompts))
        values = [[next(found)[len(prefix) + branch.scored :] for branch in options] for options in branches]
        if any(np.isnan(each).any() for options in values for each in options):
            raise UserError(
                "a scored token has nothing before it", fix="Give the prompt an instruction or demonstrations."
            )
        return values

    def _generated(
        self, prefix: Sequence[int], questions: Sequence[Sequence[int]], limit: int, beams: int
    ) -> list[str]:
        return [text.split("\n")[0] for text in self.server.texts([[*prefix, *ids] for ids in questions], limit)]


def remote_method(
    model: str,
    server: Completions,
    method: str | None = None,
    instructed: bool = False,
    options: Mapping[str, Any] = EMPTY,
) -> Method:
    """Return a method in context whose model runs on a server; the arguments are those of `open_method`.

    Raises:
        UserError: the method does more than read prompts, or learned more than the weights of its model.
    """
    folder = trained_folder(model)
    config: MethodConfig = read_card(folder)[0] if folder else plain_config(model, method, instructed, options)
    cls = method_class(config.name)
    if not (issubclass(cls, InContext) and cls.scorer is InContext.scorer and cls.predictor is InContext.predictor):
        raise UserError(f"{config.name} needs the model in this process", fix="Leave --engine out, or use icl.")
    if folder and (folder / OWN).is_file():
        raise UserError(f"the method in {folder} learned more than its model's weights", fix="Leave --engine out.")
    backbone: Any = RemoteBackbone(config.backbone)
    built = cls.build(backbone, config.format, {**config.options, **options})

    def scorer(task: Task, shown: Sequence[Example], params: Any = None) -> PromptScorer:
        found = RemoteScorer(backbone, built.form, task, shown, **built.scoring())
        found.server = server
        return found

    built.scorer = scorer  # type: ignore[method-assign]
    return built
