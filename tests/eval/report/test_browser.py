"""The pages in a real browser: headless Chromium by Playwright, with axe-core for what screen readers and eyes need.

Without Playwright, axe-core or a Chromium on the machine these tests are skipped.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from pages import make

from eval.report.page import write_report

sync_api = pytest.importorskip("playwright.sync_api", reason="no Playwright: pip install 'metaicl[dev]'")
axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="no axe-core: pip install 'metaicl[dev]'")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt install chromium)"),
]
SIZES = {"light": (1280, 900), "dark": (1280, 900), "phone": (375, 700)}


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    """A page with every section, of fifteen methods."""
    folder = tmp_path_factory.mktemp("run")
    results = make(folder)
    for i in range(12):
        results["methods"].append({"name": f"m{i}", "label": f"Method {i}", "trained": False, "eval_seconds": 10.0 * i})
        cells = [cell for cell in results["cells"] if cell["method"] == "icl"]
        results["cells"] += [{**cell, "method": f"m{i}", "score": 0.05 * i, "seconds": 1.0 + i} for cell in cells]
    (folder / "results.json").write_text(json.dumps(results))
    curve = {"loss": [[1, 2.0], [2, 1.0]], "validation": [[2, 0.5]]}
    learned = [{"suite": "mine", "source": "web", "licence": "MIT", "tasks": ["one"]}]
    training = {"model": "tiny-lm", "command": "metaicl train", "tasks": learned, "curve": curve}
    (folder / "trainings.json").write_text(json.dumps({"metaicl": training, "proto": training}))
    audit = {"tasks": 3, "examples": 90, "counts": {}, "warnings": {"plain": ["train has one label"]}}
    (folder / "audit.json").write_text(json.dumps(audit))
    segments = [{"role": "query", "text": "Is it?", "scored": False}, {"role": "option", "text": " no", "scored": True}]
    (folder / "prompt.json").write_text(json.dumps({"task": "plain", "k": 4, "segments": segments}))
    lines = [
        {"method": "metaicl", "task": "plain", "seed": 0, "k": 16, "index": i, "input": f"item {i}"}
        | {"options": ["a", "b"], "scores": [0.1 * i, 0.3], "truth": "a", "answer": "b" if i < 3 else "a"}
        for i in range(8)
    ]
    (folder / "predictions" / "metaicl.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return write_report(folder)


def opened(browser, path: Path, kind: str = "light"):
    """Return the page, all of it unfolded, with what it logged and requested."""
    width, height = SIZES[kind]
    scheme = "dark" if kind == "dark" else "light"
    page = browser.new_context(color_scheme=scheme, viewport={"width": width, "height": height}).new_page()
    logged: list[str] = []
    page.on("console", lambda message: logged.append(message.text))
    page.on("pageerror", lambda error: logged.append(str(error)))
    page.on("request", lambda request: logged.append(request.url))
    page.goto(path.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    return page, logged


def methods(page) -> list[str]:
    """Return the first lines of the first table's visible rows."""
    cells = page.locator("table.sortable").first.locator("tbody tr:visible td:first-child")
    return [text.splitlines()[0] for text in cells.all_inner_texts()]


@pytest.mark.parametrize("kind", SIZES)
def test_page_logs_and_requests_nothing_has_no_violation_and_fits_its_window(browser, report, kind):
    page, logged = opened(browser, report, kind)
    assert logged == [report.as_uri()]
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    found = axe.Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    for title in ("Quality against cost", "Sensitivity", "Which labels", "Meta-training", "believed", "learned from"):
        assert page.get_by_role("heading", name=title).count() == 1
    assert report.stat().st_size < 5_000_000


def test_axe_finds_a_planted_violation(browser, report, tmp_path):
    broken = tmp_path / "broken.html"
    broken.write_text(report.read_text("utf-8").replace("</main>", "<input></main>"))
    page, _ = opened(browser, broken)
    assert [one["id"] for one in axe.Axe().run(page).response["violations"]] == ["label"]


def test_a_header_sorts_down_then_up_then_as_it_was_by_keyboard_too(browser, report):
    page, _ = opened(browser, report)
    table = page.locator("table.sortable").first
    button = table.get_by_role("button", name="Score")
    header = button.locator("..")
    before = methods(page)
    button.focus()
    page.keyboard.press("Enter")
    down = methods(page)
    assert header.get_attribute("aria-sort") == "descending" and down != before
    scores = [float(text.split()[0]) for text in table.locator("tbody td:nth-child(2)").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    button.click()
    assert header.get_attribute("aria-sort") == "ascending" and methods(page)[0] == down[-1]
    button.click()
    assert header.get_attribute("aria-sort") is None and methods(page) == before


def test_what_has_no_value_stands_last_in_either_direction(browser, report):
    page, _ = opened(browser, report)
    button = page.locator("table.sortable").first.get_by_role("button", name="Training")
    for first in ("MetaICL <b>", "Prototypes"):
        button.click()
        assert methods(page)[0] == first and methods(page)[-1].startswith(("Method", "In-context"))


def test_the_filter_hides_rows_and_says_how_many_are_left(browser, report):
    page, _ = opened(browser, report)
    assert len(methods(page)) == 15
    field = page.get_by_label("Filter methods").first
    field.fill("method 3")
    assert methods(page) == ["Method 3"] and "1 of 15 rows" in page.locator("output").first.inner_text()
    assert page.get_by_label("Filter tasks").count() == 0  # few rows need none
    field.fill("")
    assert len(methods(page)) == 15


def test_without_a_script_the_tables_are_whole(browser, report):
    page = browser.new_context(java_script_enabled=False).new_page()
    page.goto(report.as_uri())
    assert page.locator("table.sortable").first.locator("tbody tr").count() == 15
    assert page.locator("th button").count() == 0


def test_the_page_of_the_benchmark_is_as_clean(browser, tmp_path):
    from eval.report.benchmark import write_benchmark

    recorded = Path(__file__).parents[3] / "results" / "benchmark"
    shutil.copy(recorded / "benchmark.jsonl", tmp_path)
    value = json.loads((recorded / "benchmark.json").read_text("utf-8"))
    value |= {"entries": value["entries"][:60], "methods": value["methods"][:8]}  # all of them take axe minutes
    (tmp_path / "benchmark.json").write_text(json.dumps(value))
    path = write_benchmark(tmp_path)
    for kind in ("light", "dark"):
        page, logged = opened(browser, path, kind)
        assert len(logged) == 1 and axe.Axe().run(page).response["violations"] == []
