"""A progress bar is drawn for people only: not where standard error is a file."""

from __future__ import annotations

import sys

import pytest

from metaicl.cli.main import main
from metaicl.training.progress_bars import no_bar


@pytest.mark.parametrize(
    ("wanted", "terminal", "notebook", "drawn"),
    [(True, True, False, True), (True, False, False, False), (True, False, True, True), (False, True, True, False)],
)
def test_a_bar_is_drawn_where_it_is_wanted_on_a_terminal_or_in_a_notebook(
    monkeypatch, wanted, terminal, notebook, drawn
):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    if notebook:
        monkeypatch.setitem(sys.modules, "ipykernel", sys)
    assert no_bar(wanted) is not drawn


def test_a_training_and_a_comparison_into_a_file_write_no_bar(tmp_path, capsys):
    tiny = ["--suite", "toys:toy_suite", "--model", "tiny-random", "--k", "2", "--queries", "2"]
    main(["train", *tiny, "--max_steps", "1", "--output_dir", str(tmp_path / "run")])
    main(["evaluate", *tiny, "--methods", "random", "--seeds", "1", "--output_dir", str(tmp_path / "compared")])
    assert "\r" not in capsys.readouterr().err
