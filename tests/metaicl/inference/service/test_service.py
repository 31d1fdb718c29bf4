"""The service over HTTP, in this process."""

from __future__ import annotations

import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from services import DEMOS, client, service_of

from examples import examples
from metaicl import FewShotClassifier
from metaicl.inference.opening import LOCK
from metaicl.inference.service.config import ServeRun, read_tokens
from metaicl.inference.service.observe import JsonLines
from task_suites.core.errors import UserError

QUERIES = ["a lime", "a drill", "a plum"]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with client(tmp_path_factory.mktemp("served"), max_inputs=32, max_characters=500) as opened:
        yield opened


def made(served, **more) -> str:
    answer = served.post("/tasks", json={"demonstrations": DEMOS, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def predict(served, task: str, *inputs):
    return served.post(f"/tasks/{task}/predict", json={"inputs": list(inputs)})


def extended(served, task: str, more: list) -> int:
    """The number of demonstrations after some more."""
    return len(served.post(f"/tasks/{task}/demonstrations", json={"demonstrations": more}).json()["demonstrations"])


def probabilities(answer) -> list[list[float]]:
    assert answer.status_code == 200, answer.text
    return [list(one["probabilities"].values()) for one in answer.json()["answers"]]


@pytest.mark.parametrize("method", [None, "icl_pmi", "knn"])
def test_answers_are_the_classifiers(served, method):
    task = made(served, method=method)
    found = probabilities(served.post(f"/tasks/{task}/predict", json={"inputs": QUERIES}))
    own = FewShotClassifier("tiny-random", method).fit([d["input"] for d in DEMOS], [d["output"] for d in DEMOS])
    assert np.allclose(found, softmax(own.predictor_.scores(QUERIES), axis=1), atol=1e-6)


def test_a_task_is_made_listed_extended_and_deleted(served):
    task = made(served, name="kinds", instruction="Say what it is.")
    more = [{"input": "a plum", "output": "fruit"}]
    assert (
        len(served.post(f"/tasks/{task}/demonstrations", json={"demonstrations": more}).json()["demonstrations"]) == 5
    )
    whole = served.get(f"/tasks/{task}").json()
    assert whole["name"] == "kinds" and whole["labels"] == ["fruit", "tool"] and whole["instruction"]
    listed = {one["id"]: one["demonstrations"] for one in served.get("/tasks").json()["tasks"]}
    assert listed[task] == 5
    predicted = probabilities(served.post(f"/tasks/{task}/predict", json={"inputs": QUERIES}))
    again = made(served, instruction="Say what it is.", demonstrations=[*DEMOS, *more])
    assert np.allclose(predicted, probabilities(served.post(f"/tasks/{again}/predict", json={"inputs": QUERIES})))
    assert served.delete(f"/tasks/{task}").status_code == 204
    for answer in (served.get(f"/tasks/{task}"), served.delete(f"/tasks/{task}")):
        assert answer.status_code == 404


def test_tasks_are_listed_in_pages(served):
    tasks = {made(served) for _ in range(3)}
    seen, after = set(), ""
    while True:
        page = served.get("/tasks", params={"limit": 2, "after": after}).json()
        seen |= {one["id"] for one in page["tasks"]}
        if (after := page["after"]) is None:
            break
    assert tasks <= seen


def test_free_text_and_tags_are_answered(served):
    text = made(served, demonstrations=[{"input": "1", "output": "one"}, {"input": "2", "output": "two"}])
    (answer,) = served.post(f"/tasks/{text}/predict", json={"inputs": ["3"]}).json()["answers"]
    assert isinstance(answer["answer"], str) and answer["probabilities"] is None
    tags = made(served, demonstrations=[{"tokens": ["in", "Rome"], "tags": ["O", "B-city"]}], method="knn")
    (answer,) = served.post(f"/tasks/{tags}/predict", json={"inputs": [{"tokens": ["to", "Ulm"]}]}).json()["answers"]
    assert len(answer["answer"]) == 2


def test_an_explanation_has_the_prompt_and_each_demonstration(served):
    body = served.post(f"/tasks/{made(served)}/explain", json={"input": "a lime"}).json()
    assert [one["demonstration"] for one in body["demonstrations"]] == [0, 1, 2, 3]
    text = "".join(part["text"] for part in body["prompt"])
    assert text.startswith("a fig\n") and text.endswith("a lime\nAnswer:") and body["logprob"] < 0


def test_a_trial_answers_without_storing(served):
    before = served.get("/tasks").json()
    trial = {"demonstrations": DEMOS, "inputs": QUERIES, "explain": True}
    body = served.post("/try", json=trial).json()
    assert len(body["answers"]) == 3 and len(body["explanation"]["demonstrations"]) == 4
    assert served.get("/tasks").json() == before


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/tasks", {"demonstrations": []}, 422, "demonstrations"),
        ("/tasks", {"demonstrations": DEMOS, "colour": 1}, 422, "colour"),
        ("/tasks", {"demonstrations": [{"input": "x"}]}, 400, "demonstrations[0]"),
        ("/tasks", {"demonstrations": DEMOS, "method": "os:system"}, 400, "no method"),
        ("/tasks", {"demonstrations": DEMOS, "method": "metaicl"}, 400, "no method"),
        ("/tasks", {"demonstrations": DEMOS, "method": "ct_kv", "options": {"steps": 10**9}}, 400, "too large"),
        ("/tasks", {"demonstrations": DEMOS, "method": "icl", "options": {"shwn": 1}}, 400, "no option 'shwn'"),
        ("/tasks", {"demonstrations": DEMOS, "method": "icl", "options": {"selection": "x"}}, 400, "selection"),
        ("/tasks", {"demonstrations": DEMOS, "method": "icl", "options": {"shown": "os:x"}}, 400, "'shown'"),
        ("/tasks", {"demonstrations": [{"input": "x" * 501, "output": "y"}]}, 400, "too long"),
        ("/tasks", {"demonstrations": DEMOS, "labels": ["fruit", "Fruit"]}, 400, "labels"),
        ("/tasks", {"demonstrations": DEMOS, "labels": ["a", "b"]}, 400, "demonstrations[0]"),
        ("/tasks/../../etc/predict", {"inputs": ["x"]}, 404, ""),
        ("/tasks/none/predict", {"inputs": ["x"]}, 404, "no such task"),
        ("/try", {"demonstrations": DEMOS, "inputs": [" "]}, 400, "inputs[0]"),
        ("/try", {"demonstrations": DEMOS, "inputs": ["x"] * 33}, 400, "too many inputs"),
    ],
)
def test_what_is_unsound_is_one_error_that_names_it(served, path, body, status, message):
    answer = served.post(path, json=body)
    assert answer.status_code == status and message in answer.json()["error"]["message"], answer.text


def test_half_characters_come_back_escaped(served):
    body = json.dumps({"demonstrations": [{"input": "\ud83d", "output": "x"}]}).encode()
    answer = served.post("/tasks", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400 and "Unicode" in answer.json()["error"]["message"]


def test_one_unsound_request_does_not_spoil_the_others_of_its_batch(served, monkeypatch):
    task = made(served)
    backbone = FewShotClassifier("tiny-random").fit(["a", "b"], ["x", "y"]).predictor_.method.backbone
    monkeypatch.setattr(type(backbone), "context", 300)
    with ThreadPoolExecutor(4) as pool:
        asked = ["a lime", "x" * 400, "a drill", "a plum"]
        with LOCK:  # the model's thread waits, so that all of them do
            found = [pool.submit(served.post, f"/tasks/{task}/predict", json={"inputs": [text]}) for text in asked]
            threading.Event().wait(0.3)
        assert [one.result().status_code for one in found] == [200, 400, 200, 200]


def test_requests_that_wait_for_one_task_are_answered_together(served):
    task, texts = made(served), [f"a thing {i}" for i in range(12)]
    together = probabilities(served.post(f"/tasks/{task}/predict", json={"inputs": texts}))

    def batches() -> float:
        return metric(served, "batch_inputs_count")

    before = batches()
    with ThreadPoolExecutor(12) as pool:
        with LOCK:
            found = [pool.submit(served.post, f"/tasks/{task}/predict", json={"inputs": [text]}) for text in texts]
            threading.Event().wait(0.5)
        apart = [probabilities(one.result())[0] for one in found]
    assert np.allclose(apart, together, atol=1e-5)
    assert batches() - before <= 4


def metric(served, name: str) -> float:
    line = next(line for line in served.get("/metrics").text.splitlines() if line.startswith(f"metaicl_{name}"))
    return float(line.split()[-1])


@settings(examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(QUERIES)), min_size=1, max_size=8))
def test_tasks_never_mix(served, asked):
    tasks = [made(served, demonstrations=DEMOS[::-1] if i else DEMOS, instruction="Say." * (i == 2)) for i in range(3)]
    alone = {
        (i, text): probabilities(served.post(f"/tasks/{tasks[i]}/predict", json={"inputs": [text]}))[0]
        for i, text in asked
    }
    with ThreadPoolExecutor(8) as pool:
        found = [
            (one, pool.submit(served.post, f"/tasks/{tasks[one[0]]}/predict", json={"inputs": [one[1]]}))
            for one in asked
        ]
        for one, answer in found:
            assert np.allclose(probabilities(answer.result())[0], alone[one], atol=1e-5)


def test_a_full_queue_is_refused_with_the_time_to_come_again(tmp_path):
    with client(tmp_path, max_waiting=2) as served:
        task = made(served)
        with ThreadPoolExecutor(8) as pool:
            with LOCK:
                found = [
                    pool.submit(served.post, f"/tasks/{task}/predict", json={"inputs": ["x", "y"]}) for _ in range(8)
                ]
                threading.Event().wait(0.5)
            answers = [one.result() for one in found]
        refused = [one for one in answers if one.status_code == 429]
        assert refused and all(int(one.headers["retry-after"]) >= 1 for one in refused)
        assert {one.status_code for one in answers} == {200, 429}


def test_no_time_for_an_answer_is_said(tmp_path):
    with client(tmp_path, timeout=0.3) as served:
        task = made(served)
        with LOCK:
            assert served.post(f"/tasks/{task}/predict", json={"inputs": ["x"]}).status_code == 503
        assert served.post(f"/tasks/{task}/predict", json={"inputs": ["x"]}).status_code == 200


def test_a_task_is_deleted_while_the_model_is_busy(tmp_path):
    with client(tmp_path, timeout=0.3, max_waiting=1) as served, ThreadPoolExecutor(1) as pool:
        task, other = made(served), made(served)
        with LOCK:
            waiting = pool.submit(served.post, f"/tasks/{other}/predict", json={"inputs": ["x"]})
            threading.Event().wait(0.1)
            assert served.delete(f"/tasks/{task}").status_code == 204
            assert waiting.result().status_code == 503


def test_a_restart_finds_the_tasks(tmp_path):
    with client(tmp_path) as served:
        task = made(served)
        before = probabilities(served.post(f"/tasks/{task}/predict", json={"inputs": QUERIES}))
    with client(tmp_path) as served:
        assert probabilities(served.post(f"/tasks/{task}/predict", json={"inputs": QUERIES})) == before


def test_a_full_disk_is_said_and_loses_nothing(tmp_path):
    with client(tmp_path) as served:
        task = made(served)
        store = service_of(served).store
        (pages,) = store._db.execute("PRAGMA page_count").fetchone()
        store._db.execute(f"PRAGMA max_page_count = {pages}")
        large = [{"input": f"{i} " + "x" * 4000, "output": ("fruit", "tool")[i % 2]} for i in range(4)]
        assert served.post("/tasks", json={"demonstrations": large}).status_code == 507
        assert served.post(f"/tasks/{task}/demonstrations", json={"demonstrations": large}).status_code == 507
        assert len(served.get(f"/tasks/{task}").json()["demonstrations"]) == 4
        store._db.execute("PRAGMA max_page_count = 100000")
        assert (
            len(served.post(f"/tasks/{task}/demonstrations", json={"demonstrations": large}).json()["demonstrations"])
            == 8
        )


def test_states_stay_within_the_memory_they_may_take(tmp_path):
    with client(tmp_path, memory=0.08) as served:
        tasks = [made(served, demonstrations=[{**d, "input": f"{i} {d['input']}"} for d in DEMOS]) for i in range(6)]
        for task in tasks:
            probabilities(served.post(f"/tasks/{task}/predict", json={"inputs": QUERIES}))
        assert metric(served, "prefix_bytes") <= 0.08 * 2**20 and metric(served, "prefixes_evicted_total") >= 1


def test_tokens_are_needed_where_there_are_some_and_never_logged(tmp_path, caplog):
    logging.getLogger("metaicl.service").propagate = True
    with caplog.at_level("INFO"), client(tmp_path, tokens=("first-secret", "second-secret")) as served:
        for header in (None, "Bearer wrong", "Bearer ", "Basic first-secret", "first-secret", "Bearer first-secre"):
            headers = {"authorization": header} if header else {}
            answer = served.get("/tasks", headers=headers)
            assert answer.status_code == 401 and answer.headers["www-authenticate"] == "Bearer"
        for token in ("first-secret", "second-secret"):
            assert served.get("/tasks", headers={"authorization": f"Bearer {token}"}).status_code == 200
        assert served.get("/health").status_code == served.get("/").status_code == 200
        assert served.get("/openapi.json").status_code == 401
    shown = " ".join(JsonLines().format(record) for record in caplog.records)
    assert "secret" not in shown and '"status": 401' in shown


def test_only_loopback_needs_no_token(tmp_path, monkeypatch):
    assert read_tokens(ServeRun()) == ()
    with pytest.raises(UserError, match="open to others"):
        read_tokens(ServeRun(host="0.0.0.0"))
    (tmp_path / "tokens").write_text("one\ntwo\n")
    assert read_tokens(ServeRun(host="0.0.0.0", token_file=tmp_path / "tokens")) == ("one", "two")
    monkeypatch.setenv("METAICL_TOKENS", "three")
    assert read_tokens(ServeRun(host="::")) == ("three",)


def test_another_sites_page_does_not_reach_the_service_by_its_own_name(served):
    assert served.get("/tasks", headers={"host": "evil.example"}).status_code == 400


def test_a_large_body_is_refused(tmp_path):
    with client(tmp_path, max_body=1000) as served:
        assert served.post("/tasks", content=b"x" * 1001).status_code == 413

        def parts():
            yield from [b"x" * 400] * 3

        assert served.post("/tasks", content=parts(), headers={"content-type": "application/json"}).status_code == 413


def test_the_log_is_one_line_of_json_whatever_a_name_holds(served, caplog):
    logging.getLogger("metaicl.service").propagate = True
    with caplog.at_level("INFO"):
        made(served, name='x"}\n{"event": "forged"}')
        served.get("/tasks/%0a%22forged")
    lines = [JsonLines().format(record) for record in caplog.records if record.name == "metaicl.service"]
    assert lines and all("\n" not in line and "forged" not in line for line in lines)
    assert {"request", "route", "status", "ms"} <= json.loads(lines[-1]).keys()


def test_health_readiness_models_methods_and_description(served):
    assert served.get("/health").json()["status"] == "alive" and served.get("/ready").status_code == 200
    assert "icl" in served.get("/methods").json()["methods"] and served.get("/v1/models").json()["data"]
    paths = served.get("/openapi.json").json()["paths"]
    assert {"/tasks", "/tasks/{task}/predict", "/v1/completions"} <= paths.keys()
