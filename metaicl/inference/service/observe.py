"""What the service says of itself: Prometheus metrics, and one line of JSON on standard error for each request.

Neither holds a text, an answer, a header or a token. JSON escapes what a name holds, so no client can write a line.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class Metrics:
    """The numbers of one service."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        named: dict[str, Any] = {"registry": registry, "namespace": "metaicl"}
        self.requests = Counter("requests", "requests by route and status", ["route", "status"], **named)
        self.seconds = Histogram("request_seconds", "seconds until an answer", ["route"], **named)
        self.batch = Histogram("batch_inputs", "inputs answered together", buckets=(1, 2, 4, 8, 16, 32, 64), **named)
        self.prefixes = Counter("prefixes", "uses of a prompt's states: kept or made", ["from"], **named)
        self.evicted = Counter("prefixes_evicted", "states dropped to make room", **named)
        self.kept_bytes = Gauge("prefix_bytes", "memory of the states that are kept", **named)
        self.waiting = Gauge("waiting_inputs", "inputs in the queue", **named)

    def text(self) -> bytes:
        """Return all numbers as Prometheus reads them."""
        return generate_latest(self.registry)


class JsonLines(logging.Formatter):
    """Log records as lines of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        row: dict[str, Any] = {"time": round(time.time(), 3), "level": record.levelname.lower()}
        row |= {"event": record.getMessage(), **getattr(record, "facts", {})}
        if record.exc_info and record.exc_info[0]:  # where, not what: a message may hold a client's text
            row |= {"error": record.exc_info[0].__name__, "at": traceback.format_tb(record.exc_info[2])}
        return json.dumps(row)


def log_as_json() -> None:
    """Write the service's log as JSON lines on standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("metaicl.service", "uvicorn.error"):
        log = logging.getLogger(name)
        log.handlers[:], log.propagate = [handler], False
        log.setLevel(logging.INFO)
