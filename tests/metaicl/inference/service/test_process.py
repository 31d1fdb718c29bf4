"""The service as a process: what survives SIGKILL, what a stop finishes, and requests that nobody would write."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import threading
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from services import DEMOS, process

pytestmark = pytest.mark.slow


def put(address: str, **more) -> str:
    answer = httpx.post(f"{address}/tasks", json={"demonstrations": DEMOS, "method": "majority", **more}, timeout=60)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_during_writes_loses_no_acknowledged_task(tmp_path, seed):
    acknowledged: list[str] = []
    with process(tmp_path) as (running, address):

        def write() -> None:
            try:
                while True:
                    acknowledged.append(put(address))
            except (httpx.HTTPError, AssertionError):
                pass

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        threading.Event().wait(random.Random(seed).uniform(1, 3))
        running.send_signal(signal.SIGKILL)
        for writer in writers:
            writer.join()
    assert acknowledged
    with process(tmp_path) as (_, address):
        for task in acknowledged:
            found = httpx.get(f"{address}/tasks/{task}", timeout=60)
            assert found.status_code == 200 and len(found.json()["demonstrations"]) == len(DEMOS)


def test_a_stop_answers_what_was_accepted(tmp_path):
    with process(tmp_path) as (running, address):
        task = put(address, method="icl")
        inputs, answers = [f"a thing {i}" for i in range(200)], []

        def ask() -> None:
            answers.append(httpx.post(f"{address}/tasks/{task}/predict", json={"inputs": inputs}, timeout=60))

        asking = [threading.Thread(target=ask) for _ in range(4)]
        for one in asking:
            one.start()
        threading.Event().wait(0.5)
        running.send_signal(signal.SIGTERM)
        for one in asking:
            one.join()
        assert running.wait(60) in (0, -signal.SIGTERM)
    assert [one.status_code for one in answers] == [200] * 4
    assert all(len(one.json()["answers"]) == 200 for one in answers)


def test_clients_that_say_half_of_something_hold_nobody_up(tmp_path):
    with process(tmp_path) as (_, address):
        where = urlsplit(address)
        head = (
            b"POST /tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        halves = [socket.create_connection((where.hostname, where.port)) for _ in range(50)]
        for index, one in enumerate(halves):
            one.sendall(head if index % 2 else head[:30])
        assert httpx.get(f"{address}/ready", timeout=10).status_code == 200
        put(address)
        for one in halves:
            one.close()


def test_schemathesis_finds_no_server_error(tmp_path):
    tried, settled = (
        [],
        settings(
            max_examples=60,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        ),
    )
    with process(tmp_path, "--method", "majority") as (_, address):
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        for found in schema.get_all_operations():
            for mode in GenerationMode:

                @settled
                @given(found.ok().as_strategy(generation_mode=mode))
                def send(case) -> None:
                    answer = case.call(timeout=60)
                    tried.append(answer.status_code)
                    assert answer.status_code < 500, answer.text

                with suppress(Unsatisfiable):  # an operation without input cannot be called wrongly
                    send()
        assert httpx.get(f"{address}/ready", timeout=10).status_code == 200
    assert len(tried) > 500 and {200, 404, 422} <= set(tried)


MARKS = ['"', "\\", "{", "[", "\x00", "é".encode()[:1].decode("latin-1"), "\\ud800", "1e999", "NaN", "null", "-1"]


def test_mutated_bodies_are_no_server_error(tmp_path):
    bodies = [
        ("/tasks", {"demonstrations": DEMOS, "method": "majority", "options": {}}),
        ("/try", {"demonstrations": DEMOS, "inputs": ["x", {"input": "y"}], "method": "majority", "explain": True}),
        ("/v1/completions", {"prompt": [1, 2, 3], "max_tokens": 1, "logprobs": 1, "echo": True}),
    ]
    rng, seen = random.Random(0), set()
    with process(tmp_path) as (_, address), httpx.Client(base_url=address, timeout=60) as client:
        for number in range(1000):
            path, body = bodies[number % 3]
            text = list(json.dumps(body))
            for _ in range(rng.randint(1, 4)):
                place = rng.randrange(len(text))
                text[place : place + rng.randint(0, 3)] = [rng.choice(MARKS)]
            content = "".join(text).encode("latin-1", "replace")
            answer = client.post(path, content=content, headers={"content-type": "application/json"})
            seen.add(answer.status_code)
            assert answer.status_code < 500, (content, answer.text)
    assert {400, 422} & seen


def test_the_documentation_runs_as_shown(tmp_path):
    page = (Path(__file__).resolve().parents[4] / "docs" / "serving.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", page, re.M | re.S)
    rows = re.findall(r"^\| `(?:GET|POST)(.*?)\|", page, re.M)
    routes = {path for row in rows for path in re.findall(r"/[\w/]+", row)}
    with process(tmp_path) as (_, address):
        names: dict = {}
        exec(block.replace("http://127.0.0.1:8080", address), names)
        (answer,) = names["answers"]["answers"]
        assert answer["answer"] in ("delivery", "login")
        assert len(names["service"].get(f"/tasks/{names['task']}").json()["demonstrations"]) == 5
        known = httpx.get(f"{address}/openapi.json").json()["paths"]
    shown = {path.replace("/ID", "/{task}") for path in routes} | {"/tasks/{task}/explain"}
    assert shown - {"/explain", "/openapi", "/openapi.json"} <= known.keys()
