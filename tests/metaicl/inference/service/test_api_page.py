"""The OpenAPI page in headless Chromium: it shows every route, and loads nothing from anywhere."""

from __future__ import annotations

import os
from pathlib import Path

from browsers import chromium
from pages import Page
from services import client, process

from metaicl.inference.service.api_page import api_page

SHOTS = os.environ.get("METAICL_SCREENSHOTS")  # a folder to look at


def test_a_text_in_the_description_ends_no_script():
    page = api_page({"openapi": "3.1.0", "info": {"title": "</script><!--<img src=x>", "version": "1"}, "paths": {}})
    assert Page(page).loads == ["data:,"] and page.count("</script>") == 2
    assert "<!--" not in page and r"<\/script><\!--<img" in page


def test_the_page_needs_no_token_and_the_description_does(tmp_path):
    with client(tmp_path, tokens=("right",)) as served:
        assert served.get("/docs").status_code == 200
        assert served.get("/openapi.json").status_code == 401


def test_the_page_shows_every_route_without_a_request_or_an_error(tmp_path):
    with process(tmp_path) as (_, address), chromium() as browser:
        page, problems = browser.new_page(), []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("request", lambda request: problems.append(request.url) if request.url != f"{address}/docs" else None)
        page.goto(f"{address}/docs")
        page.locator(".opblock").first.wait_for()
        described = page.request.get(f"{address}/openapi.json").json()["paths"]
        routes = {(path, method.upper()) for path, of in described.items() for method in of}
        blocks = page.locator(".opblock").all()
        shown = {
            (block.locator(".opblock-summary-path").inner_text(), block.locator(".opblock-summary-method").inner_text())
            for block in blocks
        }
        if SHOTS:
            page.screenshot(path=str(Path(SHOTS) / "api.png"), full_page=True)
        assert {(path.replace("\u200b", ""), method) for path, method in shown} == routes and not problems
