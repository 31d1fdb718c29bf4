"""`metaicl serve`: few-shot answers over HTTP."""

from __future__ import annotations

from metaicl.cli.parser import Command
from metaicl.inference.service.config import ServeRun


def run(config: ServeRun) -> None:
    """Serve until the process gets a signal to stop."""
    from metaicl.inference.service.server import serve

    serve(config)


COMMAND = Command(ServeRun, run, "metaicl serve --model runs/mine --port 8080")
