"""A server that speaks OpenAI's `/v1/completions` as vLLM does: token ids in, log-probabilities and texts out.

There are two ways to the log-probability of a token given those before it:

- `echo` with `logprobs` gives those of all tokens of a prompt. vLLM computes the whole prompt for that: its cache of
  prefixes holds no logits, and is not read.
- `logprob_token_ids` gives those of named tokens at the first new position. The cache of prefixes is read, so a request
  costs what its prompt has of its own. Older releases of vLLM and other servers do not know it (`names_tokens`).

Requests run at the same time, up to a limit. A server that is busy (429, 503) gets the request again after the seconds
that it names (`Retry-After`), or after longer and longer pauses.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import Any

from urllib3 import PoolManager, Retry, Timeout
from urllib3.exceptions import HTTPError, MaxRetryError

from task_suites.core.errors import UserError, counted, nearest
from task_suites.formats.tagging import STOP

AT_ONCE = 16  # requests
BATCH = 16  # prompts of one request
MOST_NAMED = 128  # token ids of one request that vLLM takes
SECONDS = 300  # for one answer
KEY = "OPENAI_API_KEY"
SERVE = "Serve the model with vLLM, or with metaicl serve."
START = "Start it (vllm serve FOLDER), or give its address with --server, such as http://127.0.0.1:8000/v1."
IDS = {"return_tokens_as_token_ids": True}  # tokens as token_id:N, for their texts need not tell them apart
PLAIN = {"repetition_penalty": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}  # not those of a model's folder
RETRIES = Retry(
    total=10,
    connect=2,
    read=1,
    status=8,
    other=0,
    allowed_methods=None,
    status_forcelist=(429, 503),
    backoff_factor=0.5,
    backoff_max=30,
    raise_on_status=False,
    retry_after_max=60,
)


class CompletionServer:
    """A server of completions.

    Args:
        address: up to `/v1`. The key in the environment variable OPENAI_API_KEY goes with each request.
        model: the name under which the model is served; not needed where one is served.

    Attributes:
        model: that name.

    Raises:
        UserError: the server cannot be reached, or does not serve the model.
    """

    def __init__(self, address: str, model: str | None = None):
        self.address = address.rstrip("/")
        key = os.environ.get(KEY)
        self._pool = PoolManager(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            maxsize=AT_ONCE,
            block=True,
            retries=RETRIES,
            timeout=Timeout(connect=10, read=SECONDS),
        )
        self.model = self._known(model)

    def _known(self, model: str | None) -> str:
        """Return the name of the model to use."""
        listed = self._sent("models").get("data")
        names = [str(one["id"]) for one in listed if "id" in one] if isinstance(listed, list) else []
        if model is None and len(names) == 1:
            return names[0]
        if model is None:
            fix = "Name one with --server_model." if names else START
            raise UserError(
                f"the server serves {counted(len(names), 'model')}",
                where=self.address,
                found=", ".join(names) or None,
                expected="one",
                fix=fix,
            )
        if model not in names:
            raise UserError(f"the server serves no model {model}", where=self.address, fix=nearest(model, names))
        return model

    @cached_property
    def names_tokens(self) -> bool:
        """Whether the server gives the log-probabilities of named tokens."""
        asked = {"max_tokens": 1, "temperature": 0, "logprobs": 1, "logprob_token_ids": [1, 2], **IDS}
        (choice,) = self._choices([{"prompt": [[1, 2]], **asked}])
        return {"token_id:1", "token_id:2"} <= _tops(choice).keys()

    def encoded(self, text: str) -> list[int] | None:
        """Return the token ids that the server makes of a text; None where it does not tell ids."""
        asked = {"prompt": [text], "max_tokens": 0, "echo": True, "logprobs": 1, "add_special_tokens": False, **IDS}
        (choice,) = self._choices([asked])
        return _ids(_logged(choice, "tokens"))

    def written(self, ids: Sequence[int]) -> list[str]:
        """Return the text of each token, as the server writes it."""
        (choice,) = self._choices([{"prompt": [list(ids)], "max_tokens": 0, "echo": True, "logprobs": 1}])
        return [str(token) for token in _logged(choice, "tokens")]

    def prompt_logprobs(self, prompts: Sequence[Sequence[int]]) -> list[list[float]]:
        """Return the log-probability of each token of each prompt but the first, given those before it.

        Raises:
            UserError: the server returns none, or those of other tokens.
        """
        asked = {"max_tokens": 0, "echo": True, "logprobs": 1, **IDS}
        found = self._choices([{"prompt": part, **asked} for part in _parts(prompts)])
        return [self._echoed(ids, choice) for ids, choice in zip(prompts, found, strict=True)]

    def _echoed(self, ids: Sequence[int], choice: Mapping[str, Any]) -> list[float]:
        values, theirs = _logged(choice, "token_logprobs"), _ids(_logged(choice, "tokens"))
        if len(values) != len(ids) or None in values[1:]:
            raise UserError(
                "the server does not return the log-probabilities of a prompt's tokens",
                where=self.address,
                found=f"{sum(value is not None for value in values)} for {counted(len(ids), 'token')}",
                fix=SERVE,
            )
        if theirs is not None and theirs != list(ids):
            fix = "Serve the model with its own tokenizer."
            raise UserError("the server changed the tokens of a prompt", where=self.address, fix=fix)
        return [float(value) for value in values[1:]]

    def next_logprobs(self, prompts: Sequence[Sequence[int]], named: Sequence[Sequence[int]]) -> list[dict[int, float]]:
        """Return, for each prompt, the log-probability of each of its named tokens as the next one, by token.

        Raises:
            UserError: the server leaves some out.
        """
        groups: dict[tuple[int, ...], list[int]] = {}  # prompts by their named tokens: one request has one list of them
        for place, tokens in enumerate(named):
            for start in range(0, len(tokens), MOST_NAMED):
                groups.setdefault(tuple(tokens[start : start + MOST_NAMED]), []).append(place)
        parts = [(tokens, part) for tokens, places in groups.items() for part in _parts(places)]
        asked = {"max_tokens": 1, "temperature": 0, "logprobs": 1, **IDS}
        bodies = [
            {"prompt": [list(prompts[i]) for i in part], "logprob_token_ids": list(tokens), **asked}
            for tokens, part in parts
        ]
        found: list[dict[int, float]] = [{} for _ in prompts]
        each = ((tokens, place) for tokens, part in parts for place in part)
        for (tokens, place), choice in zip(each, self._choices(bodies), strict=True):
            tops = _tops(choice)
            if lost := [token for token in tokens if f"token_id:{token}" not in tops]:
                what, token = "the server left out a log-probability", f"token {lost[0]}"
                raise UserError(what, where=self.address, found=token, fix=SERVE)
            found[place] |= {token: float(tops[f"token_id:{token}"]) for token in tokens}
        return found

    def texts(self, prompts: Sequence[Sequence[int]], limit: int, end: int | None) -> list[str]:
        """Return the likeliest text after each prompt, token by token: at most `limit` tokens, up to a line break or
        the token `end`."""
        stops = {"stop": [STOP], "ignore_eos": True, "stop_token_ids": [] if end is None else [end]}
        asked = {"max_tokens": limit, "temperature": 0, **stops, **PLAIN}
        return [str(choice.get("text")) for choice in self._choices([{"prompt": p, **asked} for p in _parts(prompts)])]

    def _choices(self, bodies: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the choices of all prompts, in their order, whichever request ends first."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for body, answer in zip(bodies, pool.map(self._completed, bodies), strict=True):
                choices = sorted(answer.get("choices") or [], key=lambda choice: choice["index"])
                if len(choices) != len(body["prompt"]):
                    raise UserError(
                        "the server left prompts without an answer",
                        where=self.address,
                        found=f"{len(choices)} of {len(body['prompt'])}",
                        fix=SERVE,
                    )
                yield from choices

    def _completed(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._sent("completions", {"model": self.model, **body})

    def _sent(self, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer to a request.

        Raises:
            UserError: the server cannot be reached, refuses the request, or answers with something else than an object.
        """
        where = f"{self.address}/{path}"
        try:
            answer = self._pool.request("GET" if body is None else "POST", where, json=body, redirect=False)
            status, data = answer.status, answer.data
        except HTTPError as error:
            why = error.reason if isinstance(error, MaxRetryError) and error.reason else error
            raise UserError(f"the server cannot be used: {why}", where=where, fix=START) from None
        if status != 200:
            key = f" Set {KEY}." if status == 401 else ""
            raise UserError(f"the server refused a request ({status})", where=where, found=_message(data) + key)
        try:
            return dict(json.loads(data))
        except (ValueError, TypeError):
            raise UserError("the server's answer is not a JSON object", where=where, found=_message(data)) from None


def _parts(items: Sequence[Any]) -> list[list[Any]]:
    """Return the items in parts of at most `BATCH`."""
    return [list(items[start : start + BATCH]) for start in range(0, len(items), BATCH)]


def _logged(choice: Mapping[str, Any], what: str) -> list[Any]:
    return (choice.get("logprobs") or {}).get(what) or []


def _tops(choice: Mapping[str, Any]) -> dict[str, float]:
    """Return the log-probabilities at the first new position, by token."""
    tops = _logged(choice, "top_logprobs")
    return dict(tops[0]) if tops and tops[0] else {}


def _ids(tokens: Sequence[Any]) -> list[int] | None:
    """Return token ids from `token_id:N`; None where there is another text."""
    numbers = [str(token).removeprefix("token_id:") for token in tokens if str(token).startswith("token_id:")]
    return list(map(int, numbers)) if tokens and len(numbers) == len(tokens) else None


def _message(data: bytes) -> str:
    """Return what a refusal says: the message of its JSON in the forms that servers use, else its text."""
    text = data.decode(errors="replace").strip()
    with suppress(ValueError):  # another text than JSON is the message itself
        found = json.loads(text)
        while isinstance(found, dict):
            found = next((found[key] for key in ("error", "message", "detail") if key in found), str(found))
        text = str(found)
    return text[:500] or "no message"
