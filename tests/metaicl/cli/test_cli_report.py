"""`metaicl report`: which files it writes for one run, for several and for a benchmark, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import fails

import eval.report.benchmark
import eval.report.exports
import eval.report.joined
from metaicl.cli.main import main


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no run to report on; expected its folder. Name it: metaicl report runs/comparison"),
        (["a", "--formats"], "formats is empty"),
        (["a", "--output_dir", "b"], "output_dir is for a report on several runs"),
        (["a", "--formats", "pdf"], "pdf"),
    ],
)
def test_what_cannot_be_reported_is_one_clear_line(capsys, words, message):
    assert message in fails(capsys, "report", *words)


def test_a_benchmark_is_written_as_a_page_and_as_nothing_that_it_has_not(capsys, tmp_path, monkeypatch):
    (tmp_path / "benchmark.json").write_text("{}")
    monkeypatch.setattr(eval.report.benchmark, "write_benchmark", lambda folder: folder / "page.html")
    main(["report", str(tmp_path), "--formats", "html"])
    assert capsys.readouterr().out == f"{tmp_path / 'page.html'}\n"
    message = fails(capsys, "report", str(tmp_path), "--formats", "latex", "csv")
    assert "html and markdown only; found latex csv" in message


@pytest.mark.parametrize(("given", "folder"), [([], "a+b"), (["--output_dir", "elsewhere"], "elsewhere")])
def test_several_runs_are_joined_beside_the_first_or_where_it_is_said(capsys, tmp_path, monkeypatch, given, folder):
    monkeypatch.chdir(tmp_path)
    joined = {}
    monkeypatch.setattr(eval.report.joined, "write_joined", lambda runs, to: joined.update(runs=runs) or to)
    monkeypatch.setattr(eval.report.exports, "write_formats", lambda to, formats: [to / name for name in formats])
    main(["report", "a", "b/", "--formats", "csv", *given])
    assert capsys.readouterr().out == f"{Path(folder) / 'csv'}\n"
    assert joined["runs"] == [Path("a"), Path("b")]
