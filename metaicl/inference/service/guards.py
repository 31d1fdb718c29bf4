"""What stands before every route: tokens, sizes, slow bodies, and a record of each request. Plain ASGI."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import secrets
import time
from collections.abc import Sequence
from typing import Any

from metaicl.inference.service.observe import Metrics

log = logging.getLogger("metaicl.service")
OPEN = ("/", "/docs", "/health", "/ready")  # what needs no token: it holds nothing of anybody's
BODY_SECONDS = 20.0  # in which a body has to arrive
POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:"
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", f"{POLICY}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'".encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)


BODIES = 32  # largest bodies that may be on their way at once, together; more is refused


class TooLarge(Exception):
    """A body has more bytes than are taken."""


class TooMuch(Exception):
    """All bodies on their way have more bytes than are taken."""


class Guards:
    """The outermost layer of the service.

    Args:
        tokens: the bearer tokens that are accepted; none: no token is needed.
        max_body: most bytes of a body.
    """

    def __init__(self, app: Any, tokens: Sequence[str], max_body: int, metrics: Metrics):
        self.app, self.max_body, self.metrics = app, max_body, metrics
        self._arriving = 0  # bytes of bodies that are not whole
        self._digests = [hashlib.sha256(token.encode()).digest() for token in tokens]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request, started, status = secrets.token_hex(8), time.monotonic(), 500

        async def answer(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                more = [*HEADERS, (b"x-request-id", request.encode())]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        try:
            if problem := self._problem(scope):
                await _say(answer, *problem)
            else:
                await self._passed(scope, receive, answer)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            seconds = time.monotonic() - started
            self.metrics.requests.labels(route, str(status)).inc()
            self.metrics.seconds.labels(route).observe(seconds)
            facts = {"request": request, "method": scope["method"], "route": route, "status": status}
            log.info("request", extra={"facts": {**facts, "ms": round(1000 * seconds, 2)}})

    def _problem(self, scope: Any) -> tuple[int, str] | None:
        headers = dict(scope["headers"])
        if self._digests and scope["path"] not in OPEN and not self._is_known(headers.get(b"authorization", b"")):
            return 401, "a bearer token is needed"
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.max_body:
            return 413, f"the body has more than {self.max_body} bytes"
        if scope["method"] == "POST" and not _is_json(headers.get(b"content-type", b"")):
            return 415, "the body must be JSON and say so. Send the header Content-Type: application/json"
        return None

    def _is_known(self, header: bytes) -> bool:
        """Return whether a header names one of the tokens, in a time that does not depend on which or how nearly."""
        scheme, _, token = header.partition(b" ")
        digest = hashlib.sha256(token.strip()).digest()
        found = [hmac.compare_digest(digest, known) for known in self._digests]
        return scheme.lower() == b"bearer" and any(found)

    async def _passed(self, scope: Any, receive: Any, answer: Any) -> None:
        """Read the whole body within its limits, and give it on."""
        try:
            body, gone = await asyncio.wait_for(self._body(receive), BODY_SECONDS)
        except TooLarge:
            await _say(answer, 413, f"the body has more than {self.max_body} bytes")
            return
        except TooMuch:
            await _say(answer, 429, "too many large bodies are on their way")
            return
        except TimeoutError:
            await _say(answer, 408, f"the body did not arrive in {BODY_SECONDS:g} s")
            return
        if gone:
            return
        given = False

        async def whole() -> Any:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, whole, answer)

    async def _body(self, receive: Any) -> tuple[bytes, bool]:
        """Return (the body, whether the client has gone)."""
        parts, size = [], 0
        try:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return b"", True
                parts.append(message.get("body", b""))
                size += len(parts[-1])
                self._arriving += len(parts[-1])
                if size > self.max_body:
                    raise TooLarge
                if self._arriving > BODIES * self.max_body:
                    raise TooMuch
                if not message.get("more_body"):
                    return b"".join(parts), False
        finally:
            self._arriving -= size


async def full(scope: Any, receive: Any, send: Any) -> None:
    """Answer where the server has as many connections as it takes."""
    await _say(send, 503, "there are too many connections")


def _is_json(content_type: bytes) -> bool:
    """Return whether a body says that it is JSON. Another site's page cannot say so without being allowed to."""
    name = content_type.partition(b";")[0].strip().lower()
    return name == b"application/json" or (name.startswith(b"application/") and name.endswith(b"+json"))


async def _say(send: Any, status: int, message: str) -> None:
    body = json.dumps({"error": {"message": message, "type": "request"}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if status in (429, 503):
        headers.append((b"retry-after", b"1"))
    if status in (408, 413, 429, 503):
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
