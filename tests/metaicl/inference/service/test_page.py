"""The page in headless Chromium: a whole session, its states, keyboard, phone, light and dark, and axe-core."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
from browsers import axe_violations, chromium
from pages import Page
from services import client, process
from toys import toy_suite

import metaicl
from metaicl.inference.service.app import page_text

SHOTS = os.environ.get("METAICL_SCREENSHOTS")  # a folder to look at
SCRIPT = '<img src=x onerror=alert(1)> & "quotes"'


def test_the_page_is_one_file_that_loads_nothing_and_names_what_it_has(tmp_path):
    page = Page(page_text())
    assert page.loads == ["data:,"] and len(set(page.ids)) == len(page.ids)
    assert "http" not in page_text().replace('"http://www.w3.org/2000/svg"', "")  # a name, which nothing loads
    with client(tmp_path) as served:
        answer = served.get("/")
        assert answer.text == page_text() and "default-src 'none'" in answer.headers["content-security-policy"]


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    with process(folder) as (running, address), chromium() as browser:
        yield browser, address, running


def view(opened, **settings):
    browser, address, _ = opened
    page = browser.new_context(accept_downloads=True, **settings).new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("request", lambda request: page.problems.append(request.url) if address not in request.url else None)
    page.goto(address)
    until(page, "document.getElementById('model').textContent !== '...'")
    return page


def until(page, condition: str) -> None:
    """Wait for a condition; Playwright's own waiting needs `eval`, which the page's policy forbids."""
    for _ in range(1200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not in a minute: {condition}")


def shot(page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def answered(page) -> None:
    until(page, "!document.getElementById('why').hidden")


@pytest.mark.slow
def test_a_session_from_the_empty_page_to_the_saved_answers(opened, tmp_path):
    page = view(opened)
    assert "No answers yet" in page.inner_text("#status") and page.is_disabled("#download")
    shot(page, "empty")
    page.get_by_role("button", name="Support mail").click()
    answered(page)
    assert page.inner_text("#status") == "3 answers." and page.locator(".answer").count() == 3
    assert page.locator("#influence span").count() == 6
    assert page.inner_text("#prompt").rstrip().endswith("Where is my package?\nAnswer:")
    shot(page, "answers")
    assert axe_violations(page) == []
    page.click("#move")
    until(page, "document.querySelectorAll('#moved table').length === 2 && !document.getElementById('move').disabled")
    rows = [row.split("\t") for row in page.inner_text("#moved").splitlines() if "\t" in row]
    assert [row[0] for row in rows] == [
        *("First", "1", "2", "4", "6"), *("Order", "as given", "reversed", "shuffled", "shuffled again")
    ]  # fmt: skip
    assert rows[4][1:] == rows[6][1:] and page.locator("#moved svg polyline").count() == 3
    assert "4 numbers and 4 orders" in page.inner_text("#status")
    shot(page, "moved")
    assert axe_violations(page) == []
    file = tmp_path / "in.csv"
    file.write_text('id,text\n1,"My box, my ""box"""\n2,=1+1\n', encoding="utf-8")
    page.set_input_files("#file", str(file))
    until(page, "document.getElementById('status').textContent.includes('2 queries')")
    assert page.input_value("#queries") == 'My box, my "box"\n=1+1'
    page.click("#go")
    until(page, "document.getElementById('status').textContent === '2 answers.'")
    assert not page.is_visible("#moved")
    with page.expect_download() as download:
        page.click("#download")
    rows = list(csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8").splitlines()))
    assert [row["input"] for row in rows] == ['My box, my "box"', "'=1+1"] and rows[0]["answer"] in rows[0]
    assert page.problems == []


@pytest.mark.slow
def test_demonstrations_come_from_csv_too(opened, tmp_path):
    page, file = view(opened), tmp_path / "demos.csv"
    file.write_text('id,text,label\n1,"a, b",x\n2,"c\nd",y\n3,,y\n', encoding="utf-8")
    page.set_input_files("#demo-file", str(file))
    until(page, "document.getElementById('status').textContent.includes('2 demonstrations')")
    assert page.input_value("#demos") == "a, b => x\nc d => y"
    assert "1 row had an empty cell" in page.inner_text("#status")
    file.write_text("one\ntwo\n", encoding="utf-8")
    page.set_input_files("#demo-file", str(file))
    until(page, "!document.getElementById('problem').hidden")
    assert "columns input and output" in page.inner_text("#problem") and page.input_value("#demos")


@pytest.mark.slow
def test_mistakes_are_said_and_markup_stays_text(opened):
    page = view(opened)
    page.click("#go")
    assert "no demonstrations" in page.inner_text("#problem")
    page.fill("#demos", "no arrow here")
    page.click("#go")
    assert "Line 1" in page.inner_text("#problem") and page.is_visible("#problem")
    shot(page, "error")
    assert axe_violations(page) == []
    page.fill("#demos", "a => b => c")
    page.click("#go")
    assert "more than once" in page.inner_text("#problem")
    page.fill("#demos", f"{SCRIPT} => a\nb => c\nd => a")
    page.fill("#queries", SCRIPT)
    page.keyboard.press("Control+Enter")
    answered(page)
    assert SCRIPT in page.inner_text("#answers") and page.locator("img").count() == 0
    assert not page.is_visible("#problem") and page.problems == []
    page.select_option("#method", "knn")
    page.click("#go")
    until(page, "document.getElementById('prompt-part').hidden")


@pytest.mark.slow
def test_demonstrations_that_a_method_cannot_learn_from_are_said_beside_the_others(opened):
    page = view(opened)
    page.route("**/try", refuse_one_demonstration)
    page.fill("#demos", "a => x\nb => y\nc => x")
    page.fill("#queries", "d")
    page.click("#go")
    answered(page)
    page.click("#move")
    until(page, "document.querySelectorAll('#moved table').length === 2 && !document.getElementById('move').disabled")
    rows = [row.split("\t") for row in page.inner_text("#moved").splitlines() if "\t" in row]
    assert rows[1][:2] == ["1", "none: one is too few"] and rows[2][0] == "2" and rows[2][1] in "xy"
    assert page.locator("#moved svg circle").count() == 2 * 2 and not page.is_visible("#problem")


def refuse_one_demonstration(route) -> None:
    if len(route.request.post_data_json["demonstrations"]) > 1:
        route.continue_()
    else:
        route.fulfill(status=400, json={"error": {"message": "one is too few"}})


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_no_sideways_scrolling_and_axe_finds_nothing(opened, scheme):
    page = view(opened, viewport={"width": 360, "height": 740}, color_scheme=scheme, has_touch=True)
    page.get_by_role("button", name="Food reviews").tap()
    answered(page)
    page.locator("#move").tap()
    until(page, "document.querySelectorAll('#moved table').length === 2 && !document.getElementById('move').disabled")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    shot(page, f"phone-{scheme}")
    assert axe_violations(page) == []


@pytest.mark.slow
def test_the_keyboard_reaches_everything_in_order(opened):
    page = view(opened)
    order = []
    for _ in range(11):
        page.keyboard.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert order[:3] == ["Support mail", "Food reviews", "Words to numbers"]
    assert order[3:10] == ["demos", "upload-demos", "queries", "instruction", "method", "go", "upload"]


@pytest.mark.slow
def test_a_trained_run_offers_no_other_method(opened, tmp_path):
    assert view(opened).is_visible("#method")
    training = {"model": "tiny-random", "max_steps": 1, "k": 2, "queries": 2, "progress": False, "dtype": "float32"}
    run = metaicl.train(toy_suite(), output_dir=tmp_path / "run", **training).folder
    with process(tmp_path, "--model", str(run)) as (running, address):
        page = view((opened[0], address, running))
        page.get_by_role("button", name="Support mail").click()
        answered(page)
        assert not page.is_visible("#method") and not page.is_visible("text=Method")
        shot(page, "trained")


@pytest.mark.slow
def test_a_service_that_is_gone_is_said(opened):
    page = view(opened)
    page.fill("#demos", "a => b\nc => d\ne => b")
    page.fill("#queries", "x")
    page.context.set_offline(True)
    page.click("#go")
    until(page, "!document.getElementById('problem').hidden")
    assert "cannot be reached" in page.inner_text("#problem")
