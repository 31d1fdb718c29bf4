"""The server's socket: a free port, an address that is taken, and IPv6."""

from __future__ import annotations

import socket
import sys

import pytest

from metaicl.inference.service.config import ServeRun
from metaicl.inference.service.server import _listening, serve
from task_suites.core.errors import UserError


def test_port_0_takes_a_free_one_and_who_comes_early_waits():
    with _listening(ServeRun(port=0)) as listening:
        host, port = listening.getsockname()
        assert host == "127.0.0.1" and port > 0
        with socket.create_connection((host, port), timeout=5):  # nobody has accepted yet
            pass


def test_an_address_that_is_taken_is_named_with_the_way_out():
    with _listening(ServeRun(port=0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(UserError, match=rf"127\.0\.0\.1:{port} cannot be used .*--port; 0 takes a free one"):
            _listening(ServeRun(port=port))


def test_an_address_of_another_machine_cannot_be_used():
    with pytest.raises(UserError, match=r"192\.0\.2\.1:0 cannot be used"):
        _listening(ServeRun(host="192.0.2.1", port=0))


def test_an_address_with_colons_is_ipv6():
    try:
        socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
        listening = _listening(ServeRun(host="::1", port=0))
    except (OSError, UserError):
        pytest.skip("this machine has no IPv6")
    with listening:
        assert listening.family == socket.AF_INET6


def test_without_the_libraries_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(UserError, match=r"uvicorn is not installed. Run: pip install 'metaicl\[serve\]'"):
        serve(ServeRun())
