"""Clients that are slow or silent lose their connections, and hold nobody up. A server of uvicorn on a thread."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import httpx
import pytest
import uvicorn
from uvicorn.importer import import_from_string

from metaicl.inference.service import connections

LARGE = 30_000_000  # more than the buffers of both ends
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"
both_parsers = pytest.mark.parametrize("parser", ["h11", "httptools"])


async def app(scope, receive, send):
    """Answers with many bytes at /large, in two parts at /slow, else with few, after the whole body."""
    assert scope["type"] == "http"
    while (await receive()).get("more_body"):
        pass
    if scope["path"] == "/slow":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"x", "more_body": True})
        await receive()  # until the client has gone
        return
    body = b"x" * (LARGE if scope["path"] == "/large" else 2)
    head = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": head})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def server(monkeypatch, parser: str, patience: float = 0.3, **limits) -> Iterator[tuple[str, int]]:
    """The address of a running server."""
    if parser == "httptools":
        pytest.importorskip("httptools")
    monkeypatch.setattr(connections, "PATIENCE", patience)
    kind = connections.watched(import_from_string(uvicorn.config.HTTP_PROTOCOLS[parser]))
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http=kind, ws="none", lifespan="off", log_config=None, **limits)
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()
    finally:
        running.should_exit = True
        thread.join()
        listening.close()


def is_closed(one: socket.socket) -> bool:
    """Whether the server ends a connection; a connection that it keeps for a minute is an error."""
    one.settimeout(60)
    try:
        return one.recv(1) == b""
    except ConnectionError:
        return True


def answers(address: tuple[str, int]) -> bool:
    return httpx.get(f"http://{address[0]}:{address[1]}/", timeout=60).content == b"xx"


@both_parsers
def test_who_says_nothing_or_half_a_head_is_cut_off(monkeypatch, parser):
    with server(monkeypatch, parser) as address, ExitStack() as opened:
        silent, half, second = (opened.enter_context(socket.create_connection(address)) for _ in range(3))
        half.sendall(HEAD)
        second.sendall(HEAD + b"\r\n" + HEAD)  # an answer, and no more
        assert answers(address)
        assert second.recv(12) == b"HTTP/1.1 200"
        while second.recv(4096) not in (b"", b"xx"):
            pass
        assert is_closed(silent) and is_closed(half) and is_closed(second)


@both_parsers
def test_a_client_that_pauses_between_requests_keeps_its_connection(monkeypatch, parser):
    with server(monkeypatch, parser) as address, socket.create_connection(address) as one:
        one.settimeout(60)
        for _ in range(2):
            one.sendall(HEAD)  # the rest of the head a moment later
            threading.Event().wait(0.1)
            one.sendall(b"\r\n")
            received = b""
            while not received.endswith(b"\r\n\r\nxx"):
                received += (more := one.recv(4096))
                assert more
            threading.Event().wait(1.0)  # three times the patience
        monkeypatch.setattr(connections, "KEEP_ALIVE", 0.3)
        assert is_closed(one)


@both_parsers
def test_a_head_that_comes_byte_by_byte_is_cut_off(monkeypatch, parser):
    with server(monkeypatch, parser) as address, socket.create_connection(address) as slow:
        with suppress(ConnectionError):
            for _ in range(1200):
                slow.sendall(b"x")
                threading.Event().wait(0.05)
            raise AssertionError("it was heard for a minute")
        assert answers(address)


@both_parsers
def test_a_head_without_end_is_cut_off(monkeypatch, parser):
    with server(monkeypatch, parser, patience=600) as address, socket.create_connection(address) as endless:
        endless.sendall(HEAD + b"X-Large: ")
        with suppress(ConnectionError):
            for _ in range(25_000):
                endless.sendall(b"x" * 4096)
            raise AssertionError("100 MB were read")
        large = httpx.post(f"http://{address[0]}:{address[1]}/", content=b"x" * 1_000_000, timeout=60)
        assert large.content == b"xx"  # a body is none


@both_parsers
def test_who_does_not_read_the_answer_is_cut_off_and_who_reads_is_not(monkeypatch, parser):
    with server(monkeypatch, parser) as address, socket.create_connection(address) as idle:
        idle.sendall(HEAD.replace(b"/ ", b"/large ") + b"\r\n")
        assert len(httpx.get(f"http://{address[0]}:{address[1]}/large", timeout=60).content) == LARGE
        threading.Event().wait(1.0)
        received, more = 0, b"x"
        idle.settimeout(60)
        with suppress(ConnectionError):
            while more:
                more = idle.recv(1 << 20)
                received += len(more)
        assert received < LARGE


@both_parsers
def test_idle_connections_make_room_where_there_are_too_many(monkeypatch, parser):
    with server(monkeypatch, parser, patience=600, limit_concurrency=8) as address, ExitStack() as opened:
        idle = [opened.enter_context(socket.create_connection(address)) for _ in range(30)]
        for _ in range(3):
            assert answers(address)
        assert is_closed(idle[0])


@both_parsers
def test_a_request_too_many_is_told_when_to_try_again(monkeypatch, parser):
    with server(monkeypatch, parser, patience=600, limit_concurrency=3) as address, ExitStack() as opened:
        for _ in range(2):
            busy = opened.enter_context(socket.create_connection(address))
            busy.sendall(HEAD.replace(b"/ ", b"/slow ") + b"\r\n")
            assert busy.recv(1)
        refused = httpx.get(f"http://{address[0]}:{address[1]}/", timeout=60)
        assert refused.status_code == 503 and refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["message"] == "there are too many connections"


def test_the_most_connections_leave_files_for_the_rest():
    assert 16 <= connections.most_connections() <= connections.MOST
