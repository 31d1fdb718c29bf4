"""The report of a finished run: one self-contained page that says what the statistics say."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html import unescape

import pytest
from pages import SCRIPT, make, page_of

from eval.report.page import write_report
from task_suites.core.errors import UserError


def test_page_loads_nothing_and_runs_its_own_script_only(run):
    text, page = page_of(run[0])
    assert page.loads == []
    assert not {"link", "img", "iframe"} & set(page.tags) and page.tags.count("script") == 1
    own = re.search(r"<script>(.*?)</script>", text, flags=re.DOTALL)[1]
    seal = base64.b64encode(hashlib.sha256(own.encode()).digest()).decode()
    assert f"script-src 'sha256-{seal}'" in unescape(text) and "default-src 'none'" in unescape(text)
    assert not re.search(r"https?:", text) and "@import" not in text and not re.search(r"url\((?!#)", text)
    assert text.startswith("<!doctype html>")


def test_strange_texts_are_escaped_everywhere(run):
    text, page = page_of(run[0])
    assert text.count("<script") == 1 and "<b>" not in text.split("</style>")[1].replace('<b style="', "")
    # note, task, prompt, mistake, source
    assert page.text.count("<script>alert('x')</script> & \"quotes\" $x$ 世界") >= 5


def test_ids_differ_between_figures(run):
    text, page = page_of(run[0])
    assert len(page.ids) == len(set(page.ids))
    names = re.findall(r'<svg [^>]*role="img" aria-label="([^"]*)"', text)
    assert len(names) == len(set(names)) == page.tags.count("svg") and all(names)


def test_figures_take_their_colours_from_the_style_sheet(run):
    text, _ = page_of(run[0])
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert "var(--series-0)" in drawn and not re.search(r"(fill|stroke): #", drawn)
    defined = set(re.findall(r"(--[\w-]+):", text.split("</style>")[0]))
    assert set(re.findall(r"var\((--[\w-]+)", drawn)) <= defined


def test_all_methods_and_tasks_are_named(run):
    _, page = page_of(run[0])
    for name in ("In-context", "MetaICL <b>", "Prototypes", "plain", "third"):
        assert name in page.text


def test_a_mistake_has_the_prompt_that_the_run_kept_of_it(run):
    folder = run[0]
    assert "the prompt" not in page_of(folder)[1].text
    segments = [
        {"role": "demo_input", "text": f"shown {SCRIPT}", "scored": False},
        {"role": "option", "text": " no", "scored": True},
    ]
    kept = {"method": "metaicl", "k": 16, "prompts": [{"task": "third", "seed": 1, "index": 0, "segments": segments}]}
    (folder / "mistakes.json").write_text(json.dumps(kept))
    text, page = page_of(folder)
    assert page.text.count("the prompt") == 1 and f"shown {SCRIPT}" in page.text and text.count("<script") == 1
    assert page.text.index("margin 7.50") < page.text.index(f"shown {SCRIPT}") < page.text.index("ragged")
    (folder / "mistakes.json").write_text(json.dumps(kept | {"k": 4}))
    assert "the prompt" not in page_of(folder)[1].text


def test_dropped_demonstrations_are_announced(tmp_path):
    results = make(tmp_path)
    assert "dropped from prompts" not in page_of(tmp_path)[1].text
    results["cells"][0]["dropped"] = 7
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert "7 demonstrations were dropped from prompts that were too long" in page_of(tmp_path)[1].text


def test_refusals_filtered_notes_command_and_manifest_are_shown(run):
    text = page_of(run[0])[1].text
    for part in ("no <tagging>", "3 examples were too long.", "A note.", "--config 'a & b.yaml'"):
        assert part in text
    assert "suite.prints.t abc" in text and "seeds 0, 1" in text and "gpu null" in text


def test_missing_optional_files_leave_their_sections_out(tmp_path):
    make(tmp_path, predictions=False, ks=(16,))
    text = page_of(tmp_path)[1].text
    for title in ("Meta-training", "What the model reads", "goes wrong", "More demonstrations"):
        assert title not in text
    assert "Methods side by side" in text


def test_one_task_and_one_method_make_a_page(tmp_path):
    results = make(tmp_path, tasks=("only",))
    assert "over seeds only" in page_of(tmp_path)[1].text
    results["methods"] = results["methods"][:1]
    results["cells"] = [c for c in results["cells"] if c["method"] == "icl" and c["seed"] == 0]
    (tmp_path / "results.json").write_text(json.dumps(results))
    assert "In-context scores 40.0 [no interval] points. Over 1 held-out task and 1 seed" in page_of(tmp_path)[1].text


def test_many_methods_and_absent_optional_fields_make_a_page(tmp_path):
    results = make(tmp_path)
    for index in range(9):
        results["methods"].append({"name": f"m{index}", "label": f"Method {index}"})
        results["cells"] += [
            {"method": f"m{index}", "task": c["task"], "seed": c["seed"], "k": c["k"], "score": 0.3}
            for c in results["cells"]
            if c["method"] == "icl"
        ]
    for name in ("filtered", "comparison", "notes", "refusals", "seconds", "k"):
        del results[name]
    (tmp_path / "results.json").write_text(json.dumps(results))
    text = page_of(tmp_path)[1].text
    assert "Method 8" in text and "MetaICL <b> scores" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("cells"), "results.json: the top level lacks cells"),
        (lambda r: r.update(cells=[]), "results.json: there are no cells"),
        (lambda r: r.update(schema=2), "another version of metaicl; found schema 2; expected 1"),
        (lambda r: r["cells"][0].pop("score"), r"cells\[0\] lacks score"),
        (lambda r: r["cells"][0].update(task="other"), r"cells\[0\] names a task that is not in tasks; found 'other'"),
        (lambda r: r.update(headline_k=8), r"no cells at headline_k = 8; found cells at k = \[4, 16\]"),
        (lambda r: r["methods"].append("x"), r"methods\[3\] is not an object"),
    ],
)
def test_malformed_results_name_the_file_and_what_is_missing(tmp_path, change, message):
    results = make(tmp_path)
    change(results)
    (tmp_path / "results.json").write_text(json.dumps(results))
    with pytest.raises(UserError, match=message):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_files_that_are_not_json_are_named(run):
    folder = run[0]
    with pytest.raises(UserError, match=r"results\.json: no results are here"):
        write_report(folder / "elsewhere")
    (folder / "audit.json").write_text("[]")
    with pytest.raises(UserError, match=r"audit\.json: not what an evaluation writes"):
        write_report(folder)
    (folder / "trainings.json").write_text('{"metaicl":\n')
    with pytest.raises(UserError, match=r"trainings\.json:2: not JSON"):
        write_report(folder)
    (folder / "prompt.json").write_text("[]")
    (folder / "trainings.json").unlink()
    (folder / "audit.json").unlink()
    with pytest.raises(UserError, match=r"prompt\.json: the prompt is not an object"):
        write_report(folder)
    (folder / "results.json").write_text("{")
    with pytest.raises(UserError, match=r"results\.json:1: not JSON"):
        write_report(folder)


def test_a_report_is_replaced_whole_and_leaves_nothing_beside_it(run):
    folder = run[0]
    before = {path.name for path in folder.iterdir()}
    first = page_of(folder)[0]
    assert page_of(folder)[0] == first
    assert {path.name for path in folder.iterdir()} == before | {"report.html", "report.md"}
