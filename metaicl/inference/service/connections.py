"""Connections of clients that are slow or silent: what each may take of the server, and which one makes room.

uvicorn waits for ever for a request's head and for a client that does not read its answer. Here a connection ends where

- no whole head of a request arrived in `PATIENCE` seconds, or its head has more than `MOST_HEAD` bytes;
- no further request came in `KEEP_ALIVE` seconds. That is longer than clients keep an idle connection (httpx 5 s,
  aiohttp 15 s, nginx 60 s): a server that ends one earlier may do so while a request is on its way, which is lost;
- its client reads an answer more slowly than `SLOWEST` bytes a second;
- there are as many connections as the server takes, and it is the one that has waited for a request for longest.

Where all of them are being answered, a further request gets 503, which says when to try again; uvicorn's own does not.
"""

from __future__ import annotations

import asyncio
from typing import Any

from metaicl.inference.service.guards import full

PATIENCE = 10.0  # seconds
KEEP_ALIVE = 75.0  # seconds
MOST_HEAD = 64 << 10  # bytes
SLOWEST = 1000  # bytes a second
MOST = 2000  # connections
SPARE = 100  # files that are open besides connections

_Connection: Any = object  # `watched` puts one of uvicorn's before it


class Watching(_Connection):  # type: ignore[misc]
    """What a connection of uvicorn gets on top."""

    limit_concurrency: int | None

    def __init__(self, *given: Any, **named: Any):
        super().__init__(*given, **named)
        self._most, self.limit_concurrency = self.limit_concurrency or MOST, None

    @property
    def app(self) -> Any:
        """What answers the next request."""
        is_full = len(self.connections) >= self._most or len(self.tasks) >= self._most
        return full if is_full else self._app

    @app.setter
    def app(self, app: Any) -> None:
        self._app = app

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Begin to watch; where there are too many connections, one that is idle makes room."""
        super().connection_made(transport)
        self._idle_since: float = self.loop.time()
        self._head = self._unread = 0  # bytes of a head that is not whole; of answers that the client did not read
        self._in_head = False
        self._watch: Any = self.loop.call_later(PATIENCE, self._look)
        if len(self.connections) >= self._most:
            idle = [one for one in self.connections if one is not self and not one.is_answering]
            if idle:
                oldest = min(idle, key=lambda one: one._idle_since)
                self.connections.discard(oldest)  # now, for its end may come after the next request
                oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to watch."""
        self._watch.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless a head is too large. The h11 parser limits heads itself, and does not call what follows."""
        if hasattr(self, "conn") and not self._is_in_head and data.strip():
            self._begin_head()
        super().data_received(data)
        self._head = self._head + len(data) if self._in_head else 0
        if self._head > MOST_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin a head."""
        self._in_head = True
        self._begin_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """End a head."""
        self._in_head = False
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self._idle_since = self.loop.time()
        super().on_response_complete()

    def _begin_head(self) -> None:
        """Count the time of a further head from its first byte, and that of the first one from the connection's."""
        if self.cycle is not None:
            self._idle_since = self.loop.time()

    @property
    def _is_in_head(self) -> bool:
        """Whether a part of a head is there."""
        return self._in_head or (hasattr(self, "conn") and bool(self.conn.trailing_data[0]))

    @property
    def is_answering(self) -> bool:
        """Whether a request's head is there and its answer is not."""
        return self.cycle is not None and not self.cycle.response_complete

    def _look(self) -> None:
        """End the connection where it takes its time."""
        unread = self.transport.get_write_buffer_size()
        slow = unread and self._unread and unread > self._unread - SLOWEST * PATIENCE
        allowed = PATIENCE if self.cycle is None or self._is_in_head else KEEP_ALIVE
        silent = not unread and not self.is_answering and self.loop.time() - self._idle_since >= allowed
        if slow or silent:
            self.transport.abort()
            return
        self._unread = unread
        self._watch = self.loop.call_later(PATIENCE, self._look)


def watched(connection: type[asyncio.Protocol]) -> type[asyncio.Protocol]:
    """Return a class of uvicorn's connections, on one of its parsers, with the limits."""
    return type("WatchedConnection", (Watching, connection), {})


def most_connections() -> int:
    """Return how many connections the process may hold open."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 500
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if files == resource.RLIM_INFINITY else max(16, min(MOST, files - SPARE))
