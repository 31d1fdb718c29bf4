"""The routes of the service (FastAPI), and what each error becomes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from metaicl import __version__
from metaicl.inference.service import schemas
from metaicl.inference.service.api_page import api_page
from metaicl.inference.service.engine import Busy, Closing
from metaicl.inference.service.guards import Guards
from metaicl.inference.service.service import Service
from metaicl.inference.service.store import NoTask, StoreAway, StoreFull, TaskRecord
from metaicl.inference.service.strict_json import StrictRoute
from task_suites.core.errors import UserError

ABOUT = "Few-shot answers: make a task from demonstrations, then ask."
AGAIN = 2  # seconds after which a request that was given up may be tried again
PARTS = ("page.html", "page.css", "csv.js", "view.js", "moves.js", "page.js")
LOCAL = ["localhost", "127.0.0.1", "[::1]", "testserver"]
ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"description": "something in the request is unsound"},
    401: {"description": "a bearer token is needed"},
    404: {"description": "there is no such task"},
    413: {"description": "the body is too large"},
    415: {"description": "the body does not say that it is JSON"},
    429: {"description": "too much is waiting; Retry-After says when to try again"},
    503: {
        "description": "the service stops, or had no time; nothing was changed, and Retry-After says when to try again"
    },
    507: {"description": "the disk is full"},
}


class SafeJson(JSONResponse):
    """JSON in ASCII: a client's half character comes back escaped."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


class Routes:
    """One method for each route."""

    def __init__(self, service: Service):
        self.service = service

    async def create(self, body: schemas.NewTask) -> schemas.TaskBody:
        """Make a task from demonstrations."""
        return _body(await self.service.create(body))

    async def list_tasks(self, after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> schemas.Page:
        """List tasks by their ids."""
        found = await asyncio.to_thread(self.service.store.list, after.encode("utf-8", "replace").decode(), limit)
        heads = [
            schemas.TaskHead(
                id=r.id, name=r.name, method=r.method, labels=list(r.labels), created=r.created, demonstrations=count
            )
            for r, count in found
        ]
        return schemas.Page(tasks=heads, after=heads[-1].id if len(heads) == limit else None)

    async def get(self, task: str) -> schemas.TaskBody:
        """Return a task with its demonstrations."""
        return _body(await asyncio.to_thread(self.service.store.get, task))

    async def extend(self, task: str, body: schemas.MoreDemonstrations) -> schemas.TaskBody:
        """Add demonstrations to a task."""
        return _body(await self.service.extend(task, body))

    async def delete(self, task: str) -> Response:
        """Delete a task."""
        await self.service.delete(task)
        return Response(status_code=204)

    async def predict(self, task: str, body: schemas.Inputs) -> schemas.Answers:
        """Answer one input or many."""
        return await self.service.predict(task, body.inputs)

    async def explain(self, task: str, body: schemas.OneInput) -> schemas.Explained:
        """Answer one input, and say which demonstrations the answer rests on."""
        return await self.service.explain(task, body.input)

    async def attempt(self, body: schemas.Trial) -> schemas.Tried:
        """Answer inputs of a task that is not stored."""
        return await self.service.attempt(body)

    async def methods(self) -> schemas.Methods:
        """Return the model, and the methods that a task may name."""
        config = self.service.config
        return schemas.Methods(model=Path(config.model).name, default=config.method, methods=self.service.methods)

    async def health(self) -> dict[str, str]:
        """Say that the process lives."""
        return {"status": "alive", "version": __version__}

    async def ready(self, response: Response) -> dict[str, str]:
        """Say whether requests are taken."""
        ready = self.service.engine.is_ready
        response.status_code = 200 if ready else 503
        return {"status": "ready" if ready else "stopping"}

    async def metrics(self) -> Response:
        """Return the numbers of the service for Prometheus."""
        self.service.metrics.waiting.set(self.service.engine.queued)
        return Response(self.service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    async def models(self) -> dict[str, Any]:
        """List the model, as OpenAI's clients ask for it."""
        return {"object": "list", "data": [{"id": self.service.config.model, "object": "model", "owned_by": "metaicl"}]}

    async def complete(self, body: schemas.CompletionRequest) -> schemas.Completion:
        """Continue prompts, with log-probabilities, as OpenAI's completions do."""
        return await self.service.complete(body)

    async def page(self) -> HTMLResponse:
        """Return the page to try tasks on."""
        return HTMLResponse(page_text())

    async def api(self, request: Request) -> HTMLResponse:
        """Return the page that describes the routes."""
        return HTMLResponse(api_page(request.app.openapi()))


@cache
def page_text() -> str:
    """Return the page with its style and its scripts in it: one file that needs no network."""
    folder = Path(__file__).with_name("page")
    page, style, *scripts = ((folder / name).read_text(encoding="utf-8") for name in PARTS)
    script = '"use strict";\n' + "".join(scripts)
    return page.replace("/* style */\n", style).replace("/* scripts */\n", script)


def create_app(service: Service, tokens: Sequence[str] = ()) -> Any:
    """Return the service as an ASGI application, which starts the model's thread and ends it when all is answered."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.engine.start()
        yield
        service.engine.close()
        service.store.close()

    app = FastAPI(
        title="metaicl", description=ABOUT, version=__version__, lifespan=lifespan, docs_url=None, redoc_url=None,
        default_response_class=SafeJson, responses=ERRORS,
    )  # fmt: skip
    app.state.service = service
    app.router.route_class = StrictRoute
    _add_routes(app, Routes(service))
    _add_errors(app)
    if service.config.is_local and not tokens:  # another site's page cannot reach it by a name of its own
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOCAL)
    config = service.config
    app.add_middleware(Guards, tokens=tokens, max_body=config.max_body, metrics=service.metrics)
    return app


def _add_routes(app: FastAPI, routes: Routes) -> None:
    add = app.add_api_route
    add("/", routes.page, methods=["GET"], response_class=HTMLResponse, include_in_schema=False)
    add("/docs", routes.api, methods=["GET"], response_class=HTMLResponse, include_in_schema=False)
    add("/tasks", routes.create, methods=["POST"], status_code=201)
    add("/tasks", routes.list_tasks, methods=["GET"])
    add("/tasks/{task}", routes.get, methods=["GET"])
    add("/tasks/{task}", routes.delete, methods=["DELETE"], status_code=204, response_class=Response)
    add("/tasks/{task}/demonstrations", routes.extend, methods=["POST"])
    add("/tasks/{task}/predict", routes.predict, methods=["POST"])
    add("/tasks/{task}/explain", routes.explain, methods=["POST"])
    add("/try", routes.attempt, methods=["POST"])
    add("/methods", routes.methods, methods=["GET"])
    add("/health", routes.health, methods=["GET"])
    add("/ready", routes.ready, methods=["GET"])
    add("/metrics", routes.metrics, methods=["GET"], response_class=Response)
    add("/v1/models", routes.models, methods=["GET"])
    add("/v1/completions", routes.complete, methods=["POST"])


def _add_errors(app: FastAPI) -> None:
    """Say what each error becomes; none of them repeats a whole text of the client's."""

    def becomes(error: Any, status: int, message: str) -> None:
        async def handler(request: Request, raised: Exception) -> SafeJson:
            seconds = raised.seconds if isinstance(raised, Busy) else AGAIN if status == 503 else None
            headers = {"Retry-After": str(seconds)} if seconds else None
            text = message or str(raised)
            return SafeJson({"error": {"message": text, "type": type(raised).__name__}}, status, headers)

        app.add_exception_handler(error, handler)

    becomes(UserError, 400, "")
    becomes(NoTask, 404, "there is no such task")
    becomes(Busy, 429, "")
    becomes(Closing, 503, "the service is stopping")
    becomes(TimeoutError, 503, "the time for an answer ran out")
    becomes(StoreAway, 503, "the tasks cannot be read or written now")
    becomes(StoreFull, 507, "the disk is full; nothing was stored")

    async def invalid(request: Request, error: Any) -> SafeJson:
        found = [f"{'.'.join(map(str, one['loc']))[:200]}: {one['msg'][:200]}" for one in error.errors()[:5]]
        return SafeJson({"error": {"message": "; ".join(found), "type": "RequestValidationError"}}, 422)

    async def refused(request: Request, error: Any) -> SafeJson:
        content = {"error": {"message": str(error.detail), "type": "HTTPException"}}
        return SafeJson(content, error.status_code, error.headers)

    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, refused)


def _body(record: TaskRecord) -> schemas.TaskBody:
    return schemas.TaskBody(
        id=record.id,
        name=record.name,
        instruction=record.instruction,
        method=record.method,
        options=record.options,
        labels=list(record.labels),
        created=record.created,
        demonstrations=list(record.demonstrations),
    )
