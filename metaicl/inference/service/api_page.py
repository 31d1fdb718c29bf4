"""The OpenAPI page: Swagger UI with the service's description, in one file that needs no network.

FastAPI's own page loads Swagger UI from another site. The package fastapi-offline holds its files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PACKAGE = "fastapi_offline"
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>metaicl: API</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
<main id="api"></main>
<script>{script}</script>
<script>SwaggerUIBundle({{spec: {spec}, dom_id: "#api", deepLinking: true}});</script>
</body>
</html>
"""


def api_page(description: Mapping[str, Any]) -> str:
    """Return the page of an OpenAPI description."""
    style, script = _swagger()
    return PAGE.format(style=style, script=script, spec=_inline(json.dumps(description)))


@cache
def _swagger() -> tuple[str, str]:
    """Return the style and the script of Swagger UI."""
    found = find_spec(PACKAGE)
    assert found is not None and found.origin is not None  # `metaicl serve` says what to install
    files = Path(found.origin).with_name("static")
    style, script = ((files / f"swagger-ui{part}").read_text(encoding="utf-8") for part in (".css", "-bundle.js"))
    return style, _inline(script)


def _inline(script: str) -> str:
    """Return a script that ends no script element before its own end, and begins no comment of HTML."""
    return script.replace("</script", r"<\/script").replace("<!--", r"<\!--")
