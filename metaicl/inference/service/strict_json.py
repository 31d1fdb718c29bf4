"""Bodies of requests as JSON that says one thing: a key twice in one object, NaN and infinities are refused."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from task_suites.core.json_files import Twice, unique

UNSOUND = 422  # the status of a body that cannot be taken


class StrictRequest(Request):
    """A request whose body is read strictly."""

    async def json(self) -> Any:
        """Return the body's value.

        Raises:
            HTTPException: a key occurs twice, or a number is not finite.
        """
        try:
            return json.loads(await self.body(), object_pairs_hook=unique, parse_constant=_refuse)
        except Twice as error:
            raise HTTPException(UNSOUND, f"body: key {error.key[:80]!r} occurs twice in one object") from None


class StrictRoute(APIRoute):
    """A route whose requests are strict."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the route's handler."""
        handler = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handler(StrictRequest(request.scope, request.receive))

        return strict


def _refuse(name: str) -> None:
    raise HTTPException(UNSOUND, f"body: {name} is not a JSON number")
