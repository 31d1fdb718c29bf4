"""The service as a process: what survives SIGKILL, what a stop finishes, and requests that nobody would write."""

from __future__ import annotations

import json
import random
import re
import signal
import socket
import subprocess
import threading
from collections import Counter
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import schemathesis
from disks import small_disk
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from mutants import mutants
from schemathesis import GenerationMode
from services import DEMOS, process
from stores import check_tasks, writing

pytestmark = pytest.mark.slow


def put(address: str, **more) -> str:
    answer = httpx.post(f"{address}/tasks", json={"demonstrations": DEMOS, "method": "majority", **more}, timeout=60)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


@pytest.mark.parametrize("seed", range(20))
def test_a_kill_during_writes_loses_no_acknowledged_task(tmp_path, seed):
    with writing(tmp_path, 4) as (running, acknowledged):
        for _ in range(random.Random(seed).randint(1, 60)):
            acknowledged.append(running.stdout.readline().strip())
        threading.Event().wait(random.Random(seed).uniform(0, 0.01))
        running.send_signal(signal.SIGKILL)
        acknowledged += running.stdout.read().split()  # what it wrote before the end
    check_tasks(tmp_path, acknowledged)


def test_a_killed_server_keeps_what_it_acknowledged(tmp_path):
    acknowledged: list[str] = []
    with process(tmp_path) as (running, address):

        def write() -> None:
            with suppress(httpx.HTTPError, AssertionError):
                while True:
                    acknowledged.append(put(address))

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        while len(acknowledged) < 20:
            threading.Event().wait(0.01)
        running.send_signal(signal.SIGKILL)
        for writer in writers:
            writer.join()
    with process(tmp_path) as (_, address):
        for task in acknowledged:
            found = httpx.get(f"{address}/tasks/{task}", timeout=60)
            assert found.status_code == 200 and len(found.json()["demonstrations"]) == len(DEMOS)


def test_a_disk_that_is_full_answers_507_and_loses_nothing(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        large = [{"input": f"{i} " + "x" * 4000, "output": ("fruit", "tool")[i % 2]} for i in range(8)]
        with process(tmp_path, database=disk / "tasks.sqlite") as (_, address):
            kept, status = [], 201
            while status == 201 and len(kept) < 100:
                answer = httpx.post(
                    f"{address}/tasks", json={"demonstrations": large, "method": "majority"}, timeout=60
                )
                status = answer.status_code
                kept += [answer.json()["id"]] if status == 201 else []
            assert status == 507 and kept
            assert all(httpx.get(f"{address}/tasks/{task}", timeout=60).status_code == 200 for task in kept)
            more = {"demonstrations": large}
            assert httpx.post(f"{address}/tasks/{kept[0]}/demonstrations", json=more, timeout=60).status_code == 507
            subprocess.run(["mount", "-o", "remount,size=16m", str(disk)], check=True)
            put(address)
        with process(tmp_path, database=disk / "tasks.sqlite") as (_, address):
            found = [httpx.get(f"{address}/tasks/{task}", timeout=60).json() for task in kept]
            assert all(len(one["demonstrations"]) == 8 for one in found)


def test_a_stop_answers_what_was_accepted(tmp_path):
    with process(tmp_path) as (running, address):
        task, where = put(address, method="icl"), urlsplit(address)
        body = json.dumps({"inputs": [f"a thing {i}" for i in range(200)]}).encode()
        head = f"POST /tasks/{task}/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        accepted, answers = threading.Semaphore(0), []

        def ask() -> None:
            with socket.create_connection((where.hostname, where.port), timeout=60) as connection:
                connection.sendall(head.encode())
                if connection.recv(1000).startswith(b"HTTP/1.1 100"):  # the service has begun to read the request
                    accepted.release()
                connection.sendall(body)
                answer = HTTPResponse(connection)
                answer.begin()
                answers.append((answer.status, len(json.loads(answer.read())["answers"])))

        asking = [threading.Thread(target=ask) for _ in range(4)]
        for one in asking:
            one.start()
        assert all(accepted.acquire(timeout=60) for _ in asking)
        running.send_signal(signal.SIGTERM)
        for one in asking:
            one.join()
        assert running.wait(60) in (0, -signal.SIGTERM)
    assert answers == [(200, 200)] * 4


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


def test_ten_thousand_mutated_bodies_are_no_server_error(tmp_path):
    seen: Counter[int] = Counter()
    with process(tmp_path) as (_, address), httpx.Client(base_url=address, timeout=60) as client:
        task = put(address)
        for path, content in mutants(10_000, 1, task):
            answer = client.post(path, content=content, headers={"content-type": "application/json"})
            seen[answer.status_code] += 1
            assert answer.status_code < 500, (path, content, answer.text)
            if answer.status_code == 201 and seen[201] > 50:  # so that there are not too many tasks
                client.delete(f"/tasks/{answer.json()['id']}")
        assert client.get("/ready").status_code == 200
    assert {200, 201, 400, 404, 422} <= seen.keys() and sum(seen.values()) == 10_000


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
    assert shown - {"/docs", "/explain", "/openapi", "/openapi.json"} <= known.keys()
