"""The documentation's site: every page is in the navigation once, and the reference is made from the program."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

from metaicl.cli.main import COMMANDS
from metaicl.methods import METHODS

ROOT = Path(__file__).resolve().parents[1]
MADE = runpy.run_path(str(ROOT / "docs" / "reference.py"))
MADE_PAGES = [*MADE["pages"](), "notebook"]  # docs/notebook.py writes the last one
RESULTS = runpy.run_path(str(ROOT / "docs" / "results.py"))


def test_every_page_has_one_place_in_the_navigation():
    named = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    written = [path.name for path in (ROOT / "docs").glob("*.md")]
    assert sorted(named) == sorted([*written, *(f"reference/{name}.md" for name in MADE_PAGES)])


def test_links_to_pages_that_are_made_lead_to_one():
    for page in (ROOT / "docs").glob("*.md"):
        linked = re.findall(r"\]\(reference/([^)#]+)", page.read_text(encoding="utf-8"))
        assert set(linked) <= {f"{name}.md" for name in MADE_PAGES}, page


def test_a_page_that_links_to_a_made_page_says_what_makes_it():
    """In a clone that page is not there yet."""
    pages = {
        path.name: path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    }
    linking = {name for name, text in pages.items() if re.search(r"\]\((docs/)?reference/", text)}
    assert linking and not [name for name in linking if "`make docs`" not in pages[name]]


def test_the_reference_has_every_command_and_every_method():
    pages = MADE["pages"]()
    assert re.findall(r"^## (.*)$", pages["commands"], re.MULTILINE) == list(COMMANDS)
    assert re.findall(r"^## (.*)$", pages["methods"], re.MULTILINE) == ["All", *METHODS]
    assert pages["commands"].count("usage: ") == len(COMMANDS)


def test_every_name_of_the_python_reference_is_one():
    from task_suites.sources import load_named

    for names in MADE["PYTHON"].values():
        for name in names:
            module, _, cls = name.rpartition(".")
            assert callable(load_named(f"{module}:{cls}"))


def test_the_log_is_newest_first_a_paragraph_each_and_has_its_full_records():
    short, full = (
        re.split(r"^## ", (ROOT / page).read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        for page in ("docs/experiments.md", "results/log/experiments.md")
    )
    dates = [entry[: len("2026-11-29")] for entry in short]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", date) for date in dates) and dates == sorted(dates, reverse=True)
    assert [entry.strip().count("\n\n") for entry in short] == [1] * len(short)
    assert [entry.splitlines()[0] for entry in short] == [entry.splitlines()[0] for entry in full]


def test_the_tables_of_results_are_those_of_the_files():
    pages = {path: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
    assert [path.name for path, text in pages.items() if RESULTS["rewritten"](text) != text] == []
    shown = [name for text in pages.values() for _, name, *_ in RESULTS["BLOCK"].findall(text)]
    assert sorted(shown) == sorted(RESULTS["MADE"])


def test_a_changed_number_of_a_table_is_found():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert "+14.1 [" in page and RESULTS["rewritten"](page.replace("+14.1 [", "+14.2 [")) == page


def test_the_first_page_shows_a_recorded_result():
    import yaml

    run = yaml.safe_load((ROOT / "results" / "comparisons.yaml").read_text(encoding="utf-8"))[0]
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("metaicl", "raw", "calibrated", "gain", "gain_over_calibrated"):
        mean, low, high = run[name]
        assert f"{mean} [{low}, {high}]" in page or f"{mean} points [{low}, {high}]" in page, name
