"""Requests of every kind to a service of the tiny model, from 16 clients with a task of their own: what goes wrong, and
how the server's memory grows. `serving.py --only-soak` runs it.

The tiny model's weights take 1 MB, so that what grows is seen. Each client has labels of its own: another client's
label in an answer is wrong.

- `wrong`: a status that the request should not get, an answer of another form or with another client's label, or a
  task without a demonstration that was acknowledged.
- `lost`: requests without an answer: the connection broke, or the service refused `TRIES` times.
- `refused`: a refusal with `Retry-After`, which a busy service may give. The client waits and tries again.

`causes` counts each of them by the kind of request, the status and the error's type.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
from inference import texts

from metaicl.lm import tiny

CLIENTS, SHOTS = 16, 16
KINDS = ("create", "extend", "complete", "show", "try", *("predict",) * 15)
TRIES = 20  # of one request, where the service says when to come again
WARM_UP = 10  # this fraction of the requests is sent before the measurement


@contextmanager
def started(model: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run `metaicl serve` in a process of its own; yield (it, its address)."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w") as log:
        words = ["serve", "--model", model, "--port", "0", "--database", str(Path(folder) / "tasks.sqlite")]
        command = [sys.executable, "-m", "metaicl", *words]
        running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env=dict(os.environ))
        try:
            assert running.stdout is not None
            yield running, running.stdout.readline().strip()
        finally:
            running.terminate()
            running.wait(60)


@dataclass
class Counts:
    """What happened to requests, by cause."""

    wrong: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        causes = {"wrong": dict(self.wrong), "lost": dict(self.lost), "refused": dict(self.refused)}
        return {name: sum(found.values()) for name, found in causes.items()} | {"causes": causes}


def soaked(requests: int) -> dict[str, Any]:
    """Return how the memory of a server grows over requests of every kind, and which went wrong."""
    counts, growth = Counts(), []
    with started(tiny.NAME) as (running, address):
        asyncio.run(soak(address, max(64, requests // WARM_UP), 0, counts))
        process = psutil.Process(running.pid)
        before = process.memory_info().rss
        for part in range(4):
            asyncio.run(soak(address, requests // 4, 1_000_000 * (part + 1), counts))
            growth.append((process.memory_info().rss - before) / 2**20)
    return {"rss_growth_mb": growth[-1], "rss_growth_by_quarter_mb": growth, **counts.as_json()}


async def soak(address: str, requests: int, start: int, counts: Counts) -> None:
    """Send requests, numbered from `start`, and count what goes wrong. All tasks are deleted at the end."""
    numbers = iter(range(start, start + requests))
    async with httpx.AsyncClient(base_url=address, timeout=120) as http:
        await asyncio.gather(*(Client(http, f"client {i}", counts).run(numbers) for i in range(CLIENTS)))


class Client:
    """One client, which sends its next request when it has the answer to the last one."""

    def __init__(self, http: httpx.AsyncClient, name: str, counts: Counts):
        self.http, self.counts = http, counts
        self.labels = (f"{name} yes", f"{name} no")
        self.demos = [{"input": text, "output": self.labels[i % 2]} for i, text in enumerate(texts(SHOTS))]
        self.task, self.size = "", 0  # the number of demonstrations; unknown after an answer was lost: 0

    async def run(self, numbers: Any) -> None:
        """Send a request for each number that this client draws."""
        for number in numbers:
            kind = random.Random(number).choice(KINDS) if self.task else "create"
            if kind == "create":
                await self.delete()
            await self.one(kind, *texts(1, number), self.labels[number % 2])
        await self.delete()

    async def one(self, kind: str, text: str, label: str) -> None:
        """Send a request, and check its answer."""
        demo, short = {"input": text, "output": label}, self.demos[:4]
        method, path, body = {
            "create": ("POST", "/tasks", {"demonstrations": self.demos, "name": text}),
            "extend": ("POST", f"/tasks/{self.task}/demonstrations", {"demonstrations": [demo]}),
            "complete": ("POST", "/v1/completions", {"prompt": text, "max_tokens": 2, "logprobs": 1}),
            "show": ("GET", f"/tasks/{self.task}", None),
            "try": ("POST", "/try", {"demonstrations": short, "inputs": [text]}),
            "predict": ("POST", f"/tasks/{self.task}/predict", {"inputs": [text]}),
        }[kind]
        found = await self.send(kind, method, path, body, 201 if kind == "create" else 200)
        if kind == "extend":
            self.size = self.size + 1 if self.size and found else 0
        if found is None:
            return
        if kind == "create":
            self.task, self.size = found["id"], SHOTS
        if problem := self.problem(kind, found):
            self.counts.wrong[f"{kind}: {problem}"] += 1

    async def delete(self) -> None:
        """Delete the task, where there is one."""
        task, self.task, self.size = self.task, "", 0
        if task:
            await self.send("delete", "DELETE", f"/tasks/{task}", None, 204)

    async def send(self, kind: str, method: str, path: str, body: Any, expected: int) -> dict[str, Any] | None:
        """Return the answer's content; nothing where it is wrong or lost, which is counted."""
        for _ in range(TRIES):
            try:
                answer = await self.http.request(method, path, json=body)
            except httpx.HTTPError as error:
                self.counts.lost[f"{kind}: {type(error).__name__}"] += 1
                return None
            if answer.status_code == expected:
                return answer.json() if answer.content else {}
            cause = f"{kind}: {answer.status_code} {answer.text[:120]}"
            if answer.status_code not in (429, 503) or "retry-after" not in answer.headers:
                self.counts.wrong[cause] += 1
                return None
            self.counts.refused[cause] += 1
            await asyncio.sleep(float(answer.headers["retry-after"]))
        self.counts.lost[f"{kind}: refused {TRIES} times"] += 1
        return None

    def problem(self, kind: str, found: dict[str, Any]) -> str:
        """Return what is wrong with an answer's content; empty where nothing is."""
        if kind == "complete":
            return "" if len(found["choices"]) == 1 else "not one choice"
        if kind in ("try", "predict"):
            answers = [one["answer"] for one in found["answers"]]
            if len(answers) != 1:
                return f"{len(answers)} answers"
            shares = found["answers"][0]["probabilities"]
            return "" if set(answers) | set(shares) == set(self.labels) else "another client's label"
        if not {one["output"] for one in found["demonstrations"]} <= set(self.labels):
            return "another client's demonstrations"
        return "a demonstration is missing" if self.size and len(found["demonstrations"]) != self.size else ""
