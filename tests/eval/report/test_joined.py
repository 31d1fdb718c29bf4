"""Several runs side by side."""

from __future__ import annotations

import json

import pytest
from pages import SCRIPT, Page, make

from eval.cells import predictions_at
from eval.report.joined import joined, method_names
from eval.results import Results
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
    with pytest.raises(UserError, match="a report on several runs needs two or more; found one run"):
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
        ([str(runs[0]), str(runs[0].parent / "second" / ".." / "first")], "first is named twice"),
        ([str(runs[0]), "--formats", "pdf"], "pdf"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["report", *words])
        assert stop.value.code == 2 and said in capsys.readouterr().err
