"""Bodies of requests that nobody would write: sound ones, changed at random nodes of their tree and in their bytes."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from typing import Any

from services import DEMOS

SOUND: list[tuple[str, Any]] = [
    ("/tasks", {"demonstrations": DEMOS, "method": "majority", "options": {}, "name": "n", "instruction": ""}),
    ("/tasks", {"demonstrations": [{"tokens": ["in", "Rome"], "tags": ["O", "B-city"]}], "method": "majority"}),
    ("/tasks", {"demonstrations": DEMOS, "labels": ["fruit", "tool"], "method": "knn", "options": {"k": 1}}),
    ("/tasks/{task}/demonstrations", {"demonstrations": DEMOS[:1]}),
    ("/tasks/{task}/predict", {"inputs": ["x", {"input": "y"}, {"input": "z", "options": ["fruit", "tool"]}]}),
    ("/tasks/{task}/explain", {"input": "x"}),
    ("/try", {"demonstrations": DEMOS, "inputs": ["x", {"input": "y"}], "method": "majority", "explain": True}),
    ("/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 1, "logprobs": 1, "echo": True, "stop": ["x"]}),
    ("/v1/completions", {"prompt": ["hello", "you"], "max_tokens": 0, "temperature": 1.0, "seed": 1}),
]
VALUES: list[Any] = [
    *(None, True, -1, 0, 1, 2**31, 2**63, 2**64, 10**30, -(10**30), 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", " ", "\n", "\x00", "\ud83d", "\ufeff", "\u202e", "a" * 30, "é", "=>", "{{ 7 * 7 }}", "../../etc/passwd"),
    *([], {}, [[]], [None], {"input": "x"}, ["x", "x"], [1, "x"], {"": ""}, [[[[[[[[[[]]]]]]]]]]),
]
BYTES = [
    b'"',
    b"\\",
    b"{",
    b"[",
    b"]",
    b"}",
    b",",
    b":",
    b"\x00",
    b"\xc3",
    b"\\ud800",
    b"1e999",
    b"NaN",
    b"null",
    b"-",
    b"\n",
]


def mutants(count: int, seed: int, task: str) -> Iterator[tuple[str, bytes]]:
    """Yield (path, body); `task` stands in the paths."""
    rng = random.Random(seed)
    for number in range(count):
        path, body = SOUND[number % len(SOUND)]
        tree = copy.deepcopy(body)
        for _ in range(rng.randint(0, 3)):
            _change(rng, tree)
        content = json.dumps(tree, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
        for _ in range(rng.choice((0, 0, 1, 3))):
            at = rng.randrange(len(content) + 1)
            content = content[:at] + rng.choice(BYTES) + content[at + rng.randint(0, 3) :]
        yield path.format(task=task if rng.random() < 0.9 else "none"), content


def _change(rng: random.Random, tree: Any) -> None:
    """Change one node of a tree: a value, a key, or how often it is there."""
    parent, key = rng.choice(list(_places(tree)) or [({"": None}, "")])  # nothing is left where all was deleted
    kind = rng.random()
    if kind < 0.6:
        parent[key] = copy.deepcopy(rng.choice(VALUES))
    elif kind < 0.75:
        del parent[key]
    elif kind < 0.9 and isinstance(parent, list):
        parent.extend([copy.deepcopy(parent[key])] * rng.choice((1, 40)))
    elif isinstance(parent, dict):
        parent[rng.choice(("extra", "", "__class__", "input\n", "tokens", "options"))] = parent[key]


def _places(tree: Any) -> Iterator[tuple[Any, Any]]:
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)):
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])
