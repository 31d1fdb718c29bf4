"""What stands before every route: tokens, sizes and slow bodies, without a server."""

from __future__ import annotations

import asyncio
import json

import pytest

from metaicl.inference.service import guards
from metaicl.inference.service.guards import Guards
from metaicl.inference.service.observe import Metrics

JSON = [(b"content-type", b"application/json")]


async def echo(scope, receive, send):
    """An app that gives back the body."""
    body = (await receive())["body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def asked(guarded: Guards, *parts: bytes, path: str = "/tasks", silent: bool = False, **headers: str):
    """Return (status, headers, body) of a request whose body arrives in parts; `silent` ones never end."""
    sent: list = []
    waiting = [{"type": "http.request", "body": part, "more_body": True} for part in parts]

    async def receive():
        if waiting:
            return waiting.pop(0)
        if silent:
            await asyncio.sleep(60)
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    headers = {"content_type": "application/json", **headers}
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": "POST", "path": path, "headers": named}
    asyncio.run(guarded(scope, receive, send))
    if not sent:
        return None, {}, b""
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


def made(*tokens: str, most: int = 10, app=echo) -> Guards:
    return Guards(app, tokens, most, Metrics())


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Bearer right", 200),
        ("bearer  right ", 200),
        ("Bearer other", 200),
        ("Bearer righ", 401),
        ("Basic right", 401),
        ("right", 401),
        ("Bearer", 401),
        ("", 401),
    ],
)
def test_any_of_the_tokens_opens_and_nothing_else_does(header, status):
    found, headers, _ = asked(made("right", "other"), authorization=header)
    assert found == status
    assert (b"www-authenticate" in headers) is (status == 401)


def test_what_holds_nothing_of_anybodys_needs_no_token_and_without_tokens_nothing_does():
    assert [asked(made("right"), path=path)[0] for path in ("/", "/health", "/ready", "/metrics", "/tasks")] == [
        *(200, 200, 200),
        *(401, 401),
    ]
    assert asked(made())[0] == 200


def test_a_body_comes_whole_however_it_was_parted():
    assert asked(made(), b"abc", b"", b"defg")[2] == b"abcdefg"


@pytest.mark.parametrize(("parts", "status"), [([b"x" * 10], 200), ([b"x" * 11], 413), ([b"x" * 6, b"x" * 5], 413)])
def test_a_body_of_a_byte_too_much_is_refused_by_what_arrives(parts, status):
    assert asked(made(), *parts)[0] == status


def test_a_length_that_is_announced_is_refused_before_the_body_is_read():
    status, headers, body = asked(made(), content_length="11")
    assert (status, headers[b"connection"]) == (413, b"close")
    assert json.loads(body)["error"]["message"] == "the body has more than 10 bytes"
    assert asked(made(), content_length="ten")[0] == 200  # no number: the body itself is counted


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/ld+json", 200),
        ("", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
def test_a_body_that_does_not_say_that_it_is_json_is_told_how_to(kind, status):
    found, _, body = asked(made(), b"{}", content_type=kind)
    assert found == status and (status == 200 or b"Content-Type: application/json" in body)


def test_a_body_that_does_not_arrive_is_given_up(monkeypatch):
    monkeypatch.setattr(guards, "BODY_SECONDS", 0.05)
    assert asked(made(), b"ab", silent=True)[0] == 408


def test_a_client_that_has_gone_gets_no_answer_and_the_route_does_not_run():
    ran = []

    async def app(scope, receive, send):
        ran.append(scope)

    async def gone():
        async def receive():
            return {"type": "http.disconnect"}

        await made(app=app)({"type": "http", "method": "POST", "path": "/tasks", "headers": JSON}, receive, ran.append)

    asyncio.run(gone())
    assert ran == []


def test_every_answer_has_a_number_of_its_own_and_may_not_be_framed_or_kept():
    numbers = set()
    for path in ("/tasks", "/health"):
        _, headers, _ = asked(made("right"), path=path)
        numbers.add(headers[b"x-request-id"])
        assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
        assert headers[b"cache-control"] == b"no-store"
    assert len(numbers) == 2


def test_requests_are_counted_by_route_and_status():
    guarded = made("right")
    asked(guarded)
    asked(guarded, authorization="Bearer right")
    text = guarded.metrics.text().decode()
    for status in (200, 401):
        assert f'metaicl_requests_total{{route="other",status="{status}"}} 1.0' in text
