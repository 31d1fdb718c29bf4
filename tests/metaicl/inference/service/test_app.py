"""The routes and what each error becomes, on a service that answers by a script."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from services import DEMOS

from metaicl.inference.service.app import SafeJson, create_app
from metaicl.inference.service.config import ServeRun
from metaicl.inference.service.engine import Busy, Closing
from metaicl.inference.service.observe import Metrics
from metaicl.inference.service.schemas import Demonstration
from metaicl.inference.service.store import NoTask, StoreFull, TaskRecord
from task_suites.core.errors import UserError

RECORD = TaskRecord("t1", "name", labels=("fruit", "tool"), demonstrations=tuple(Demonstration(**row) for row in DEMOS))


class Scripted:
    """A service whose one answer, or error, a test sets."""

    def __init__(self, found: Any):
        self.found, self.config, self.metrics = found, ServeRun("runs/mine"), Metrics()
        self.methods = ["icl"]
        self.engine = SimpleNamespace(is_ready=True)
        self.store = SimpleNamespace(get=lambda task: self._now(), list=lambda after, limit: self._now())

    def _now(self) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found

    async def create(self, body):
        return self._now()

    def start(self) -> None:
        """Nothing is to be begun."""

    def close(self) -> None:
        """Nothing is to be ended."""


def client(found: Any = None) -> TestClient:
    return TestClient(create_app(Scripted(found), ()), raise_server_exceptions=False)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UserError("it is unsound", found="3"), 400, "it is unsound; found 3"),
        (NoTask("t9"), 404, "there is no such task"),
        (Busy(7), 429, "7"),
        (Closing(), 503, ""),
        (TimeoutError(), 503, ""),
        (StoreFull(), 507, "disk"),
    ],
)
def test_each_error_has_its_status_and_one_message(error, status, said):
    answer = client(error).post("/tasks", json={"demonstrations": DEMOS})
    assert answer.status_code == status
    message = answer.json()["error"]["message"]
    assert said in message
    assert answer.headers.get("retry-after") == {429: "7", 503: "2"}.get(status)


def test_a_bug_of_ours_tells_a_client_nothing():
    answer = client(ZeroDivisionError("a text of somebody")).post("/tasks", json={"demonstrations": DEMOS})
    assert answer.status_code == 500 and "somebody" not in answer.text and "Zero" not in answer.text


def test_a_task_is_shown_with_its_demonstrations_without_what_is_unset():
    answer = client(RECORD).post("/tasks", json={"demonstrations": DEMOS})
    assert answer.status_code == 201
    shown = answer.json()
    assert (shown["id"], shown["labels"]) == ("t1", ["fruit", "tool"])
    assert [{k: v for k, v in d.items() if v is not None} for d in shown["demonstrations"]] == DEMOS


@pytest.mark.parametrize(("limit", "after"), [(2, "t1"), (3, None)])
def test_a_full_page_of_tasks_says_where_the_next_one_begins(limit, after):
    found = [(TaskRecord("t0"), 4), (RECORD, 5)]
    page = client(found).get("/tasks", params={"limit": limit}).json()
    assert [(one["id"], one["demonstrations"]) for one in page["tasks"]] == [("t0", 4), ("t1", 5)]
    assert page["after"] == after


def test_a_model_is_named_without_its_folder():
    assert client().get("/methods").json() == {"model": "mine", "default": None, "methods": ["icl"]}


def test_half_a_character_comes_back_escaped_and_not_a_number_is_none():
    assert SafeJson({"a": "\ud83d é"}).body == b'{"a": "\\ud83d \\u00e9"}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        SafeJson({"a": float("nan")})


def test_the_description_names_the_errors_of_each_route():
    described = json.loads(client().get("/openapi.json").text)["paths"]
    assert {"400", "429", "503"} <= set(described["/tasks"]["post"]["responses"])
