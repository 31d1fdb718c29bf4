"""A small server that speaks vLLM's JSON of `/v1/completions` and `/v1/models`, strictly, over plain transformers.

Its requests and answers are those of vLLM's `entrypoints/openai/completion` (protocol.py, serving.py). It takes fewer
keys than vLLM, refuses all others, and runs each prompt by itself in float32 without any of our own code."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

NUMBER = (int, float)
KNOWN: dict[str, Any] = {  # key -> its types
    "model": str,
    "prompt": (str, list),
    "echo": bool,
    "logprobs": int,
    "max_tokens": int,
    "temperature": NUMBER,
    "stop": (str, list),
    "stop_token_ids": list,
    "ignore_eos": bool,
    "add_special_tokens": bool,
    "logprob_token_ids": list,
    "return_tokens_as_token_ids": bool,
    "repetition_penalty": NUMBER,
    "presence_penalty": NUMBER,
    "frequency_penalty": NUMBER,
}
MOST_NAMED = 128
LEAST = -9999.0


class Refused(Exception):
    """An answer with a status of its own."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.headers = status, headers or {}


@dataclass
class StandIn:
    """A served model.

    Attributes:
        names: under which it is served.
        old: whether it is older than `logprob_token_ids`, which it ignores then, as it does with unknown keys.
        plain: whether it ignores `return_tokens_as_token_ids` too, as other servers do.
        busy: how many requests are answered 429 first.
        key: the bearer token that it wants.
        slow: seconds before an answer, by the number of the request.
        bodies: the requests so far.
    """

    folder: Path
    names: tuple[str, ...] = ("served",)
    old: bool = False
    plain: bool = False
    busy: int = 0
    key: str | None = None
    slow: dict[int, float] = field(default_factory=dict)
    address: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(self.folder)
        self.context = int(self.model.config.max_position_embeddings)
        self.lock = threading.Lock()

    def completed(self, body: dict[str, Any]) -> dict[str, Any]:
        self.check(body)
        with self.lock:
            number = len(self.bodies)
            self.bodies.append(body)
            if self.busy > 0:
                self.busy -= 1
                raise Refused(429, "too many requests", {"Retry-After": "7"})
            choices = [self.choice(i, ids, body) for i, ids in enumerate(self.prompts(body))]
        time.sleep(self.slow.get(number, 0.0))
        return {
            "id": "cmpl-1",
            "object": "text_completion",
            "created": 1,
            "model": body["model"],
            "choices": choices,
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }

    def check(self, body: dict[str, Any]) -> None:
        for key, value in body.items():
            if key not in KNOWN or not isinstance(value, KNOWN[key]) or (value is True and KNOWN[key] is int):
                raise Refused(400, f"{key}: {value!r} is not taken")
        if body.get("model") not in self.names:
            raise Refused(404, f"The model `{body.get('model')}` does not exist.")
        if body.get("logprob_token_ids") is not None:
            if not body["logprob_token_ids"] or body.get("logprobs") is None or body.get("max_tokens") == 0:
                raise Refused(400, "`logprob_token_ids` needs ids, `logprobs` and new tokens")
            if len(body["logprob_token_ids"]) > MOST_NAMED:
                raise Refused(400, f"at most {MOST_NAMED} `logprob_token_ids`")

    def prompts(self, body: dict[str, Any]) -> list[list[int]]:
        given = body["prompt"]
        given = [given] if isinstance(given, str) or (given and isinstance(given[0], int)) else given
        special = body.get("add_special_tokens", True)
        found = [self.tokenizer(p, add_special_tokens=special).input_ids if isinstance(p, str) else p for p in given]
        for ids in found:
            if not ids or not all(type(i) is int and 0 <= i < self.model.config.vocab_size for i in ids):
                raise Refused(400, "a token id is out of vocabulary")
            if len(ids) + max(1, body.get("max_tokens", 16)) > self.context:
                raise Refused(400, f"This model's maximum context length is {self.context} tokens.")
        return found

    @torch.no_grad()
    def logits(self, ids: list[int]) -> torch.Tensor:
        return self.model(torch.tensor([ids])).logits[0].log_softmax(-1)

    def choice(self, index: int, ids: list[int], body: dict[str, Any]) -> dict[str, Any]:
        top, named = body.get("logprobs"), [] if self.old else body.get("logprob_token_ids") or []
        shares = self.logits(ids)
        tokens: list[int] = []
        logged: list[dict[int, float] | None] = []
        if body.get("echo"):
            tokens += ids
            logged += [None, *(self.best(shares[i], token, top or 0, []) for i, token in enumerate(ids[1:]))]
        new: list[int] = []
        text, reason, last = "", "length", shares[-1]
        while len(new) < body.get("max_tokens", 16):
            token = int(last.argmax())
            logged.append(self.best(last, token, 0 if named else top or 0, named))
            new.append(token)
            if token in body.get("stop_token_ids", []) or (
                token == self.tokenizer.eos_token_id and not self.ignores(body)
            ):
                reason = "stop"
                break
            text = self.tokenizer.decode(new, skip_special_tokens=True)
            if found := [text.index(stop) for stop in body.get("stop", []) if stop in text]:
                text, reason = text[: min(found)], "stop"
                break
            last = self.logits([*ids, *new])[-1]
        shown = (self.tokenizer.decode(ids) if body.get("echo") else "") + text
        wanted = top is not None
        logprobs = self.shown([*tokens, *new], logged, self.names_ids(body)) if wanted else None
        return {"index": index, "text": shown, "logprobs": logprobs, "finish_reason": reason, "stop_reason": None}

    @staticmethod
    def ignores(body: dict[str, Any]) -> bool:
        return bool(body.get("ignore_eos"))

    def names_ids(self, body: dict[str, Any]) -> bool:
        return bool(body.get("return_tokens_as_token_ids")) and not self.plain

    @staticmethod
    def best(shares: torch.Tensor, token: int, top: int, named: list[int]) -> dict[int, float]:
        others = shares.topk(top).indices.tolist() if top else []
        return {i: float(shares[i]) for i in dict.fromkeys([token, *others, *named])}

    def shown(self, tokens: list[int], logged: list[dict[int, float] | None], as_ids: bool) -> dict[str, Any]:
        def written(token: int) -> str:
            return f"token_id:{token}" if as_ids else self.tokenizer.decode([token])

        return {
            "tokens": [written(token) for token in tokens],
            "token_logprobs": [
                None if one is None else max(one[token], LEAST) for token, one in zip(tokens, logged, strict=True)
            ],
            "top_logprobs": [one and {written(i): max(value, LEAST) for i, value in one.items()} for one in logged],
            "text_offset": [0] * len(tokens),
        }

    def answered(self, path: str, body: bytes, key: str | None) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Return (status, object, headers)."""
        try:
            if self.key and key != f"Bearer {self.key}":
                raise Refused(401, "Unauthorized")
            if path == "/v1/models":
                cards = [{"id": n, "object": "model", "max_model_len": self.context} for n in self.names]
                return 200, {"object": "list", "data": cards}, {}
            if path != "/v1/completions":
                raise Refused(404, "Not Found")
            return 200, self.completed(json.loads(body)), {}
        except Refused as refused:
            error = {"message": str(refused), "type": "BadRequestError", "param": None, "code": refused.status}
            return refused.status, {"error": error}, refused.headers


@contextmanager
def standing_in(folder: Path, **options: Any) -> Iterator[StandIn]:
    """A stand-in for vLLM on loopback that serves the model in a folder."""
    served = StandIn(folder, **options)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.answer(b"")

        def do_POST(self) -> None:
            self.answer(self.rfile.read(int(self.headers["Content-Length"])))

        def answer(self, body: bytes) -> None:
            status, found, headers = served.answered(self.path, body, self.headers.get("Authorization"))
            data = json.dumps(found).encode()
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(data)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        served.address = f"http://127.0.0.1:{server.server_port}/v1"
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()


def sharp_model(folder: Path) -> Path:
    """Write a tiny random model whose answers lie far apart into a folder, and return it.

    At the usual size of random weights, calibrated options differ by less than bfloat16 rounds."""
    from metaicl.lm.tiny import tiny_model, tiny_tokenizer

    model = tiny_model()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "norm" not in name:
                weights.mul_(8)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
