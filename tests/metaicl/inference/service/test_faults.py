"""What a client cannot do to the service: break it, read or write files, write its log, meet other clients' tasks."""

from __future__ import annotations

import hmac
import json
import logging
import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule
from mutants import mutants
from services import DEMOS, client, service_of

from examples import examples
from metaicl.inference.opening import LOCK
from metaicl.inference.service import guards
from metaicl.inference.service.observe import log_as_json

HOSTILE = [
    '"}\n{"event": "forged"}',
    "forged\r\n\u2028forged\x85forged\x1b[2J",
    "{{ 7 * 7 }}{% for x in y %}${7*7}#{7*7}<%= 7*7 %>",
    "{0.__class__}{input}%s%n%(message)s",
    "../../../../etc/forged-path",
    "file:///etc/forged-path",
]
PLACES = ["name", "instruction", "input", "label", "query"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with client(tmp_path_factory.mktemp("served")) as opened:
        yield opened


def made(served, **more) -> str:
    answer = served.post("/tasks", json={"demonstrations": DEMOS, "method": "majority", **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def test_mutated_bodies_are_no_server_error(served):
    task, seen = made(served), set()
    for path, content in mutants(300, 0, task):
        answer = served.post(path, content=content, headers={"content-type": "application/json"})
        seen.add(answer.status_code)
        assert answer.status_code < 500, (path, content, answer.text)
    assert {200, 201, 400, 404, 422} <= seen


@pytest.fixture
def lines(monkeypatch):
    """What the service writes to its log."""
    stream = type("Stream", (list,), {"write": list.append, "flush": lambda self: None})()
    monkeypatch.setattr(sys, "stderr", stream)
    known = [logging.getLogger(name) for name in ("metaicl.service", "uvicorn.error")]
    before = [(log.handlers[:], log.propagate, log.level) for log in known]
    log_as_json()
    yield stream
    for log, (handlers, propagate, level) in zip(known, before, strict=True):
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_of_a_client_reaches_the_log(served, lines, text, monkeypatch):
    label = " ".join(text.split())  # an answer is one line
    demos = [{"input": f"{text} {i}", "output": f"{label} {'ab'[i % 2]}"} for i in range(4)]
    task = made(served, name=text, instruction=text, demonstrations=demos, method=None)
    served.post(f"/tasks/{task}/predict", json={"inputs": [text]}, headers={"x-text": "forged"})
    served.post("/tasks", json={"demonstrations": demos, "method": text, text: text})
    served.get("/tasks/forged%0a%22%7d", params={"forged": "forged"})

    def broken(*_):
        raise ValueError(text)

    monkeypatch.setattr(service_of(served).store, "get", broken)
    assert served.post(f"/tasks/{task}/predict", json={"inputs": [text]}).status_code == 500
    written = "".join(lines)
    rows = [json.loads(line) for line in written.splitlines()]
    assert len(rows) >= 5 and len(rows) == written.count("\n")
    assert all({"time", "level", "event"} <= row.keys() for row in rows)
    assert not any(word in written for word in ("forged", "7 * 7", "__class__", "%(message)s", "passwd"))


@pytest.mark.parametrize("text", HOSTILE[2:4])
def test_a_template_in_a_text_stays_text(served, text):
    demos = [{"input": f"{text} {i}", "output": f"{text} {'ab'[i % 2]}"} for i in range(4)]
    task = made(served, instruction=text, demonstrations=demos, method="icl")
    found = served.post(f"/tasks/{task}/explain", json={"input": text}).json()
    assert "".join(part["text"] for part in found["prompt"]).count(text) == 1 + 4 + 4 + 1


touched: list[str] = []
watching = threading.Event()


def _note(event: str, given: tuple) -> None:
    if watching.is_set() and event in ("open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "import"):
        touched.append(repr(given))


def test_names_of_clients_never_touch_the_disk(served, tmp_path):
    there = tmp_path / "forged-path"
    there.write_text("secret")
    paths = [str(there), "forged-path", "../forged-path", "C:\\forged-path", "forged-path:run", f"file://{there}"]
    sys.addaudithook(_note)
    watching.set()
    try:
        for path in paths:
            task = made(served, name=path, instruction="")
            for field in ("method", "labels", "options", "name", "model"):
                value = {"labels": [path, path + "2"], "options": {"selection": path, "shown": path}}.get(field, path)
                served.post("/tasks", json={"demonstrations": DEMOS, "method": "icl", field: value})
            demos = [{"input": path + str(i), "output": path + "ab"[i % 2]} for i in range(4)]
            served.post("/try", json={"demonstrations": demos, "inputs": [path], "method": "icl", "explain": True})
            served.post("/v1/completions", json={"prompt": path, "model": path, "max_tokens": 1})
            for url in (f"/tasks/{path}", f"/tasks/{task}/../../{path}", f"/static/{path}", f"/{path}"):
                assert "secret" not in served.get(url).text
    finally:
        watching.clear()
    assert [one for one in touched if "forged-path" in one] == []
    with there.open():  # what is watched would be seen
        watching.set()
        there.read_text()
        watching.clear()
    assert "forged-path" in touched[-1]


@pytest.mark.parametrize(
    "header", ["Bearer one", "Bearer two", "Bearer tw", "Bearer three", "Basic one", "", "Bearer "]
)
def test_every_token_is_compared_in_constant_time_whichever_is_right(tmp_path, monkeypatch, header):
    compared = []

    class Watched:
        @staticmethod
        def compare_digest(one, other):
            compared.append((len(one), len(other)))
            return hmac.compare_digest(one, other)

    with client(tmp_path, ("one", "two")) as served:
        monkeypatch.setattr(guards, "hmac", Watched)
        answer = served.get("/tasks", headers={"authorization": header} if header else {})
    assert answer.status_code == (200 if header in ("Bearer one", "Bearer two") else 401)
    assert compared == [(32, 32)] * 2


def test_a_page_of_another_site_cannot_make_a_browser_write(served):
    body = json.dumps({"demonstrations": DEMOS})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):  # no preflight
        assert served.post("/tasks", content=body, headers={"content-type": kind}).status_code == 415
    asked = {"origin": "http://evil.example", "access-control-request-method": "POST"}
    assert "access-control-allow-origin" not in served.options("/tasks", headers=asked).headers


def test_a_store_that_another_process_holds_is_said_and_used_again(tmp_path):
    with client(tmp_path) as served:
        task = made(served)
        service_of(served).store._db.execute("PRAGMA busy_timeout = 50")
        other = sqlite3.connect(tmp_path / "tasks.sqlite", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        answer = served.post("/tasks", json={"demonstrations": DEMOS, "method": "majority"})
        assert answer.status_code == 503 and "now" in answer.json()["error"]["message"]
        assert served.get(f"/tasks/{task}").status_code == 200
        other.execute("ROLLBACK")
        other.close()
        made(served)


def test_large_bodies_on_their_way_are_bounded_together(tmp_path, monkeypatch):
    monkeypatch.setattr(guards, "BODIES", 1)
    with client(tmp_path, max_body=10_000) as served:
        app = served.app.middleware_stack
        while not isinstance(app, guards.Guards):
            app = app.app
        monkeypatch.setattr(app, "_arriving", 9_000)
        answer = served.post("/tasks", content=b"x" * 2000, headers={"content-type": "application/json"})
        assert answer.status_code == 429 and answer.headers["retry-after"] == "1"
        assert app._arriving == 9_000
        assert (
            served.post("/tasks", content=b"x" * 500, headers={"content-type": "application/json"}).status_code == 422
        )


def test_a_long_request_lets_the_others_have_their_turn(tmp_path):
    with client(tmp_path, batch=2, max_inputs=64) as served:
        long, short = made(served, method="icl"), made(served, method="icl", instruction="Say it.")
        ended = []

        def ask(task: str, *inputs: str) -> None:
            answer = served.post(f"/tasks/{task}/predict", json={"inputs": list(inputs)})
            ended.append((task, answer.status_code, len(answer.json()["answers"])))

        with ThreadPoolExecutor(2) as pool:
            with LOCK:
                found = [pool.submit(ask, long, *(f"a thing {i}" for i in range(41)))]
                threading.Event().wait(0.3)
                found.append(pool.submit(ask, short, "a plum"))
                threading.Event().wait(0.3)
            for one in found:
                one.result()
        assert ended == [(short, 200, 1), (long, 200, 41)]


class Clients(RuleBasedStateMachine):
    """Clients make, extend, ask and delete tasks; each task answers with its own labels, from its demonstrations."""

    tasks = Bundle("tasks")
    served = None
    compared = 0  # answers, over all runs of a machine

    @initialize()
    def begin(self) -> None:
        self.known: dict[str, tuple[str, list]] = {}

    @rule(target=tasks, owner=st.sampled_from("abc"), count=st.integers(2, 4), method=st.sampled_from(["icl", "knn"]))
    def make(self, owner: str, count: int, method: str) -> str:
        demos = [{"input": f"{owner} {i}", "output": f"{owner}{'xy'[i % 2]}"} for i in range(2 * count)]
        task = made(self.served, demonstrations=demos, method=method, name=owner)
        assert task not in self.known
        self.known[task] = (owner, demos)
        return task

    @rule(task=tasks, side=st.sampled_from("xy"))
    def extend(self, task: str, side: str) -> None:
        owner, demos = self.known[task]
        more = {"input": f"{owner} more {len(demos)}", "output": f"{owner}{side}"}
        answer = self.served.post(f"/tasks/{task}/demonstrations", json={"demonstrations": [more]})
        assert answer.status_code == 200
        demos.append(more)

    @rule(task=tasks, other=tasks, text=st.sampled_from(["a 1", "b 1", "c 0"]))
    def ask(self, task: str, other: str, text: str) -> None:
        with ThreadPoolExecutor(2) as pool:
            body = {"inputs": [text, f"{text} again"]}
            found = {t: pool.submit(self.served.post, f"/tasks/{t}/predict", json=body) for t in (task, other)}
        for one, answer in found.items():
            owner, demos = self.known[one]
            answers = answer.result().json()["answers"]
            assert all(a["probabilities"].keys() == {f"{owner}x", f"{owner}y"} for a in answers)
            method = self.served.get(f"/tasks/{one}").json()["method"]
            again = self.served.post("/try", json={"demonstrations": demos, "method": method, **body}).json()["answers"]
            for a, b in zip(answers, again, strict=True):
                assert list(a["probabilities"].values()) == pytest.approx(list(b["probabilities"].values()), abs=1e-5)
                type(self).compared += 1

    @rule(task=consumes(tasks))
    def delete(self, task: str) -> None:
        if self.known.pop(task, None):
            assert self.served.delete(f"/tasks/{task}").status_code == 204
        assert self.served.get(f"/tasks/{task}").status_code == 404

    @invariant()
    def each_has_its_own(self) -> None:
        for task, (owner, demos) in self.known.items():
            found = self.served.get(f"/tasks/{task}").json()
            shown = [{k: v for k, v in d.items() if v is not None} for d in found["demonstrations"]]
            assert found["name"] == owner and shown == demos


def test_two_clients_tasks_never_mix(served):
    from hypothesis.stateful import run_state_machine_as_test

    machine = type("Served", (Clients,), {"served": served})
    run_state_machine_as_test(machine, settings=settings(examples(30), stateful_step_count=8))
    assert machine.compared > 0
