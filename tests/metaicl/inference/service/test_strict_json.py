"""A body of a request says one thing."""

from __future__ import annotations

import json

import pytest
from services import DEMOS, client


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with client(tmp_path_factory.mktemp("served")) as opened:
        yield opened


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ('{"prompt": "a", "max_tokens": 1, "max_tokens": 2}', "key 'max_tokens' occurs twice in one object"),
        ('{"demonstrations": [{"input": "a", "output": "x", "output": "y"}]}', "key 'output' occurs twice"),
        ('{"prompt": "a", "temperature": NaN}', "NaN is not a JSON number"),
        ('{"demonstrations": [], "options": {"shown": -Infinity}}', "-Infinity is not a JSON number"),
    ],
)
@pytest.mark.parametrize("path", ["/tasks", "/tasks/x/predict", "/try", "/v1/completions"])
def test_a_body_that_says_two_things_is_refused(served, path, body, said):
    answer = served.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 422 and said in answer.json()["error"]["message"]


def test_another_body_is_taken_or_refused_as_before(served):
    assert served.post("/tasks", json={"demonstrations": DEMOS}).status_code == 201
    for body in (b"{", b"", b"\xff", json.dumps({"demonstrations": []}).encode()):
        answer = served.post("/tasks", content=body, headers={"content-type": "application/json"})
        assert answer.status_code in (400, 422) and answer.json()["error"]["message"]
