"""The service on the tiny model: in this process, and as a process of its own."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from metaicl.inference.opening import close_methods
from metaicl.inference.service.app import create_app
from metaicl.inference.service.config import ServeRun
from metaicl.inference.service.service import Service
from metaicl.lm import devices

DEMOS = [
    {"input": f"a {word}", "output": label}
    for word, label in [("fig", "fruit"), ("saw", "tool"), ("pear", "fruit"), ("axe", "tool")]
]


@contextmanager
def client(folder: Path, tokens: tuple[str, ...] = (), **options: Any) -> Iterator[TestClient]:
    """A client of a running service."""
    config = ServeRun(**{"model": "tiny-random", "database": folder / "tasks.sqlite", **options})
    with TestClient(create_app(Service(config), tokens), raise_server_exceptions=False) as opened:
        yield opened


def service_of(served: TestClient) -> Service:
    """The service that a client talks to."""
    app: Any = served.app
    while not hasattr(app, "router"):
        app = app.app
    return app.state.service


@contextmanager
def opened_in_float32() -> Iterator[None]:
    """Models are opened again, in float32: one that is still open from before may have another precision."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "precision_for", lambda device: "float32")
        close_methods()
        yield
    close_methods()


@contextmanager
def served_on_loopback(folder: Path, **options: Any) -> Iterator[str]:
    """The address of a service that a thread of this process runs."""
    config = ServeRun(**{"model": "tiny-random", "database": folder / "tasks.sqlite", **options})
    listening = socket.create_server(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(create_app(Service(config)), ws="none", log_config=None))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        running.should_exit = True
        thread.join()
        listening.close()


@contextmanager
def process(folder: Path, *words: str, database: Path | None = None) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and its address; it is ended at the end."""
    command = [sys.executable, "-m", "metaicl", "serve", "--model", "tiny-random", "--port", "0"]
    command += ["--database", str(database or folder / "tasks.sqlite"), *words]
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"}
    errors = (folder / "log.jsonl").open("a")
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    try:
        assert running.stdout is not None
        address = running.stdout.readline().strip()
        assert address.startswith("http"), (folder / "log.jsonl").read_text()
        yield running, address
    finally:
        if running.poll() is None:
            running.terminate()
        running.wait(60)
        if running.stdout is not None:
            running.stdout.close()
        errors.close()
