"""Several runs side by side, and the table for other programs."""

from __future__ import annotations

import csv
import json
import re

import pytest
from pages import SCRIPT, Page, make

from eval.report.exports import as_csv, as_latex
from eval.report.joined import joined, method_names
from eval.report.summary import rows
from eval.results import Results, predictions_at
from metaicl.cli.main import main
from task_suites.core.errors import UserError


@pytest.fixture
def runs(tmp_path):
    """Two runs: the second has another name and baseline score, one more k, and two of the three tasks."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    make(tmp_path / "first")
    results = make(tmp_path / "second", ks=(4, 8, 16))
    results |= {"name": "second", "protocol": {"queries": 64}, "headline_k": 16}
    results["tasks"] = [task for task in results["tasks"] if task["name"] != "third"]
    results["cells"] = [cell for cell in results["cells"] if cell["task"] != "third"]
    results["methods"][2] |= {"name": "other", "label": "Another"}
    for item in [*results["cells"], *results["refusals"]]:
        item["method"] = "other" if item["method"] == "proto" else item["method"]
    (tmp_path / "second" / "results.json").write_text(json.dumps(results))
    return tmp_path / "first", tmp_path / "second"


def of(folders):
    loaded = [Results.load(folder) for folder in folders]
    return joined(loaded, method_names(loaded), "again")


def test_methods_of_both_runs_are_told_apart_by_the_run(runs):
    results = of(runs)
    first = "awkward & <i>small</i>"
    names = ["icl@second", "metaicl@second", "other", f"icl@{first}", f"metaicl@{first}", "proto"]
    assert sorted(m.name for m in results.methods) == sorted(names)
    assert {m.label for m in results.methods if m.name == "icl@second"} == {"In-context (second)"}
    assert results.comparison.method == f"metaicl@{first}" and results.comparison.baseline == f"icl@{first}"


def test_only_what_all_runs_have_is_compared_and_the_rest_is_said(runs):
    results = of(runs)
    assert {cell.task for cell in results.cells} == {"plain", SCRIPT} and list(results.k) == [4, 16]
    assert {cell.k for cell in results.cells} == {4, 16}
    said = " ".join(results.notes)
    assert "Left out, for not all runs have them: 1 task of awkward" in said
    assert "The runs differ in queries: awkward & <i>small</i> None, second 64." in said


def test_a_task_whose_content_differs_is_left_out(runs):
    for folder, fingerprint in zip(runs, "ab", strict=True):
        results = json.loads((folder / "results.json").read_text())
        results["manifest"]["task_fingerprints"] = {"plain": fingerprint, SCRIPT: "same"}
        (folder / "results.json").write_text(json.dumps(results))
    results = of(runs)
    assert [task.name for task in results.tasks] == [SCRIPT]
    assert "Left out, for their content differs between the runs: plain." in results.notes


def test_runs_without_a_common_task_or_k_are_refused(runs):
    results = Results.load(runs[0])
    other = json.loads((runs[1] / "results.json").read_text())
    other["cells"] = [{**cell, "k": 2} for cell in other["cells"]]
    other["headline_k"] = 2
    both = [results, Results.from_json(other)]
    with pytest.raises(UserError, match="no number of demonstrations in common"):
        joined(both, method_names(both), "")
    with pytest.raises(UserError, match="one run is not a comparison of runs"):
        joined([results], method_names([results]), "")


def test_command_writes_all_formats_of_several_runs_and_their_predictions(runs, capsys, tmp_path):
    main(["report", *map(str, runs), "--formats", "html", "csv", "latex", "--output_dir", str(tmp_path / "both")])
    assert capsys.readouterr().out.split() == [str(tmp_path / "both" / f"report.{x}") for x in ("html", "csv", "tex")]
    page = Page((tmp_path / "both" / "report.html").read_text("utf-8"))
    assert "MetaICL <b> (second)" in page.text and "The runs differ in queries" in page.text
    name = "metaicl@awkward & <i>small</i>"
    assert not list(predictions_at(tmp_path / "both", name, 16))  # all its answers are to the task that only it has
    assert not (tmp_path / "both" / "report.md").exists()


def test_command_refuses_what_it_cannot_write(runs, capsys):
    for words, said in (
        ([], "no run to report on"),
        ([str(runs[0]), "--output_dir", "x"], "output_dir is for a report on several runs"),
        ([*map(str, runs), "--output_dir", str(runs[1])], "is one of the runs"),
        ([str(runs[0]), "--formats", "pdf"], "pdf"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["report", *words])
        assert stop.value.code == 2 and said in capsys.readouterr().err


def test_csv_has_a_row_for_each_method_and_a_column_for_each_task(tmp_path):
    results = Results.from_json(make(tmp_path))
    made = list(csv.DictReader(as_csv(results).splitlines()))
    assert [row["method"] for row in made] == ["metaicl", "icl", "proto"]
    first = rows(results)[0]
    assert float(made[0]["gain"]) == pytest.approx(first.gain.mean, abs=0.005)
    assert made[1]["gain"] == "" and made[0]["label"] == "MetaICL <b>"
    assert made[2]["task:plain"] == "" and float(made[0]["task:third"]) > 0


def test_csv_holds_no_formula(tmp_path):
    results = make(tmp_path)
    results["methods"][1]["label"] = "=1+1"
    assert next(csv.DictReader(as_csv(Results.from_json(results)).splitlines()))["label"] == "'=1+1"


def test_latex_escapes_labels_and_closes_what_it_opens(tmp_path):
    results = make(tmp_path)
    results["methods"][1]["label"] = "50 % of_a {b} & \\c"
    text = as_latex(Results.from_json(results))
    assert r"50 \% of\_a \{b\} \& \textbackslash{}c & " in text
    assert re.findall(r"\\begin{(\w+)}", text) == re.findall(r"\\end{(\w+)}", text)[::-1]
    assert all(line.count(" & ") == 4 for line in text.splitlines() if line.endswith(r"\\"))
