"""The report of a finished run: one self-contained page that says what the statistics say."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html import unescape

import pytest
from pages import SCRIPT, Page, make

from eval.report.page import write_report
from eval.report.summary import duration, headline, rows
from eval.report.texts import markdown, table
from eval.results import Results
from eval.statistics import gain_interval, mean_interval
from task_suites.core.errors import UserError


def page_of(folder):
    text = write_report(folder).read_text("utf-8")
    return text, Page(text)


@pytest.fixture
def run(tmp_path):
    results = make(tmp_path)
    curve = {"loss": [[s, 2.0 / s] for s in range(1, 30)], "validation": [[10, 0.5], [20, 0.6]]}
    learned = [{"suite": "mine", "source": SCRIPT, "licence": "MIT", "tasks": ["one", "two"]}]
    training = {"model": "tiny-lm", "command": "metaicl train", "tasks": learned, "curve": curve}
    (tmp_path / "trainings.json").write_text(json.dumps({"metaicl": training}))
    remarks = {"plain": ["train has one label"], "elsewhere": ["not compared"]}
    audit = {"tasks": 3, "examples": 90, "counts": {"within a split": {"exact": 2}}, "warnings": remarks}
    (tmp_path / "audit.json").write_text(json.dumps(audit))
    segments = [
        {"role": "demo_input", "text": f"{SCRIPT}\nAnswer:", "scored": False},
        {"role": "demo_output", "text": " yes\n\n", "scored": False},
        {"role": "option", "text": " no", "scored": True},
    ]
    (tmp_path / "prompt.json").write_text(json.dumps({"task": "plain", "k": 4, "segments": segments}))
    return tmp_path, results


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


def test_gain_is_that_of_the_statistics(run):
    folder, results = run
    results = Results.from_json(results)
    own, base = (results.cells_of(m, 16) for m in ("metaicl", "icl"))
    gain = gain_interval(own, base)
    _, page = page_of(folder)
    ends = f"{gain.low:.1f}, {gain.high:.1f}"
    expected = (
        f"MetaICL <b> scores {gain.mean:.1f} [{ends}] points higher than In-context, over 3 held-out tasks and 2 "
    )
    assert expected + "seeds, with k = 16 demonstrations on tiny-lm." in page.text
    assert f"+{gain.mean:.1f} [{ends}]" in page.text
    assert str(mean_interval(own)) in page.text
    assert f"+{gain}" in table(results)


def test_method_with_part_of_the_cells_is_compared_on_shared_cells(run):
    folder, results = run
    row = next(r for r in rows(Results.load(folder)) if r.method.name == "proto")
    assert row.gain.cells == 4 and row.gain.mean == pytest.approx(-5.0)
    assert row.remark == "gain on 4 shared cells (it has 4, the baseline 6)"
    assert row.remark in table(Results.from_json(results)) and row.remark in page_of(folder)[1].text


def test_method_of_interest_comes_first_and_the_baseline_second(run):
    assert [row.method.name for row in rows(Results.load(run[0]))] == ["metaicl", "icl", "proto"]


def test_mistakes_are_ordered_by_margin_and_merged_over_seeds(run):
    _, page = page_of(run[0])
    assert "5 of its 6 answers at k = 16 are wrong" in page.text
    assert "third, under 2 seeds, margin 7.50" in page.text
    assert "✓ right" in page.text and "✗ also wrong" in page.text
    assert page.text.index("margin 7.50") < page.text.index("ragged")
    assert "at another k" not in page.text


def test_mistakes_where_the_baseline_was_right_have_a_list_of_their_own(tmp_path):
    make(tmp_path, predictions=False)
    (tmp_path / "predictions").mkdir()
    for method in ("icl", "metaicl"):
        lines = [
            {"method": method, "task": "plain", "seed": 0, "k": 16, "index": i, "input": f"item {i}"}
            | {"options": ["a", "b"], "scores": [-9.0 + i, 0.0], "truth": "a"}
            | {"answer": "a" if method == "icl" and i == 5 else "b"}
            for i in range(7)
        ]
        (tmp_path / "predictions" / f"{method}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    worst, regressions = page_of(tmp_path)[1].text.split("Wrong where In-context was right")
    assert "item 0" in worst and "item 5" not in worst and "item 5" in regressions


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
    (folder / "mistakes.json").write_text('{"prompts": [{"segments": "no"}]}')
    with pytest.raises(UserError, match=r"mistakes\.json: not the prompts of mistakes"):
        write_report(folder)


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
    assert "In-context scores 40.0 [no interval] points, over 1 held-out task and 1 seed" in page_of(tmp_path)[1].text


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


def test_difference_that_may_be_zero_is_not_called_a_gain(tmp_path):
    results = make(tmp_path)
    for cell in results["cells"]:
        cell["score"] = 0.5 + (0.1 if cell["method"] == "metaicl" and cell["task"] == "plain" else 0.0)
        cell["score"] -= 0.09 if cell["method"] == "metaicl" and cell["task"] == "third" else 0.0
    whole = Results.from_json(results)
    assert "cannot be told apart: the difference is +0.3 [" in headline(whole, rows(whole))


def test_markdown_keeps_strange_texts_inside_their_cells(run):
    results = run[1]
    results["methods"][1]["label"] = "a | b <script>"
    text = markdown(Results.from_json(results))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    borders = [len(re.findall(r"(?<!\\)\|", line)) for line in lines]
    assert borders == [8] * 5 + [7] * 4  # the methods, and which of them differ
    assert "<script" not in text.replace("\\<", "")
    write_report(run[0])
    assert (run[0] / "report.md").read_text("utf-8").startswith("# awkward \\& \\<i\\>small")


def test_terminal_table_is_aligned(run):
    lines = table(Results.from_json(run[1])).splitlines()
    assert lines[0].split() == ["method", "score", "gain", "p", "w/t/l", "training", "evaluation"]
    assert len({len(line) for line in lines[:5]}) == 1
    assert "1 min 15 s" in lines[2] and "1 h 06 min" in lines[2]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0.25, "0.2 s"), (9.96, "10 s"), (59.6, "1 min 00 s"), (3600, "1 h 00 min"), (7260, "2 h 01 min")],
)
def test_durations_read_naturally(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("cells"), "results.json: the top level lacks cells"),
        (lambda r: r.update(cells=[]), "results.json: no cells"),
        (lambda r: r.update(schema=2), "unknown schema; found 2; expected 1"),
        (lambda r: r["cells"][0].pop("score"), r"cells\[0\] lacks score"),
        (lambda r: r["cells"][0].update(task="other"), r"cells\[0\] has an unlisted task; found 'other'"),
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
    with pytest.raises(UserError, match=r"results\.json: no results"):
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
    with pytest.raises(UserError, match=r"prompt\.json: not a rendered prompt"):
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


def test_a_score_below_chance_is_said_to_be(tmp_path):
    make(tmp_path)
    results = Results.load(tmp_path)
    low = replace(results, tasks=tuple(replace(task, chance=0.9) for task in results.tasks))
    assert "Guessing scores 90.0 on these tasks, which is more than" in headline(low, rows(low))
    assert "Guessing" not in headline(results, rows(results))
