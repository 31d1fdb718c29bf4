"""The server process of `metaicl serve`: uvicorn with the service in it."""

from __future__ import annotations

import socket

from metaicl.inference.service.config import ServeRun, read_tokens
from task_suites.core.errors import UserError

GRACE = 30  # seconds that requests have to end after SIGTERM


def serve(config: ServeRun) -> None:
    """Serve until SIGINT or SIGTERM; what was accepted by then is answered.

    Raises:
        UserError: the extra is not installed, the address is taken, or the model, the store or the tokens cannot be
            read.
    """
    try:
        import fastapi  # noqa: F401
        import fastapi_offline  # noqa: F401
        import prometheus_client  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise UserError(f"{error.name} is not installed", fix="Run: pip install 'metaicl[serve]'") from None
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    from metaicl.inference.service.app import create_app
    from metaicl.inference.service.connections import KEEP_ALIVE, most_connections, watched
    from metaicl.inference.service.observe import log_as_json
    from metaicl.inference.service.service import Service

    tokens = read_tokens(config)
    listening = _listening(config)
    app = create_app(Service(config), tokens)
    log_as_json()
    settings = uvicorn.Config(
        app,
        http=watched(AutoHTTPProtocol),
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=round(KEEP_ALIVE),
        limit_concurrency=most_connections(),
    )
    host, port = listening.getsockname()[:2]
    where = f"[{host}]" if ":" in host else host
    print(f"http://{where}:{port}", flush=True)
    uvicorn.Server(settings).run(sockets=[listening])


def _listening(config: ServeRun) -> socket.socket:
    """Return a socket that listens on the configured address."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((config.host, config.port))
    except OSError as error:
        listening.close()
        fix = "Give another --port; 0 takes a free one."
        raise UserError(f"{config.host}:{config.port} cannot be used ({error.strerror or error})", fix=fix) from None
    listening.listen(2048)  # who comes before the first answer can be given waits
    return listening
