"""An evaluation adds to the comparison in its folder; results of another one there are not replaced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toys import toy_suite

import metaicl
from eval.results import RESULTS, Results
from metaicl.cli.main import main
from task_suites.core.errors import UserError

SMALL: dict[str, Any] = {"queries": 4, "progress": False, "model": "tiny-random", "dtype": "float32"}
FIRST: dict[str, Any] = {"methods": ["random", "majority"], "k": [2], "seeds": 2}


def evaluated(**changes: Any) -> Results:
    return metaicl.evaluate(changes.pop("suite", toy_suite()), **{**FIRST, **SMALL, **changes})


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The default folder, with the results of the first comparison."""
    monkeypatch.chdir(tmp_path)
    evaluated()
    return tmp_path / "runs" / "comparison"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"methods": ["random"]}, r"methods +random majority +random\n"),
        ({"k": [4]}, r"k +2 +4\n"),
        ({"seeds": 1}, r"seeds +2 +1\n"),
        ({"queries": 5}, r"queries +4 +5\n"),
        ({"split": "meta_train"}, r"tasks +\w+ +\w+ "),
        ({"stratified": True}, r"stratified +false +true\n"),
        ({"model": "tiny-encoder", "methods": ["random", "majority", "knn"], "format": "letters"}, r"random: form"),
    ],
)
def test_another_comparison_in_the_default_folder_is_refused_and_nothing_changes(here, changes, told):
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=told) as refused:
        evaluated(**changes)
    assert "runs/comparison holds the results of another comparison" in str(refused.value)
    assert "--output_dir" in str(refused.value) and "--no-resume" in str(refused.value)
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"methods": ["zero_shot", "majority", "random"]},
        {"k": [1, 2], "seeds": 3},
        {"highlight": "majority", "baseline": "random", "run_name": "comparison"},
    ],
)
def test_the_same_comparison_and_a_larger_one_keep_what_was_there(here, changes):
    before = Results.load(here)
    after = evaluated(**changes)
    assert {(c.method, c.task, c.seed, c.k) for c in before.cells} <= {
        (c.method, c.task, c.seed, c.k) for c in after.cells
    }


def test_fewer_support_sets_at_the_smaller_k_would_lose_cells(here):
    evaluated(k=[1, 2])
    with pytest.raises(UserError, match=r"curve_seeds +0 +1\n"):
        evaluated(k=[1, 2], curve_seeds=1)


def test_a_comparison_that_has_no_results_yet_may_become_another(here):
    (here / RESULTS).unlink()
    assert [method.name for method in evaluated(methods=["random"]).methods] == ["random"]


def test_without_resume_the_earlier_comparison_is_moved_aside(here, capsys):
    before = (here / RESULTS).read_bytes()
    evaluated(methods=["random"], resume=False)
    assert (here.with_name("comparison.earlier-1") / RESULTS).read_bytes() == before
    assert "runs/comparison is now in runs/comparison.earlier-1" in capsys.readouterr().out
    assert [method.name for method in Results.load(here).methods] == ["random"]


def test_results_that_cannot_be_read_are_not_replaced(here):
    (here / RESULTS).write_text("{}")
    with pytest.raises(UserError, match=r"results\.json.*--output_dir"):
        evaluated()


def test_pooled_trainings_are_the_trainings_that_they_were(here):
    kept = replace(Results.load(here), folder=None)
    runs = [f"runs/{seed}" for seed in (0, 1)]
    for seed, folder in enumerate(runs):
        small = {**SMALL, "queries": 2}
        metaicl.train(toy_suite(), method="protonet", output_dir=folder, seed=seed, max_steps=1, k=2, **small)
    ours = {"methods": ["random", *runs], "output_dir": "runs/pooled"}
    evaluated(**ours, pool_runs=True)
    assert len(evaluated(**ours).methods) == 3
    assert len(evaluated(**ours, pool_runs=True).methods) == 2
    with pytest.raises(UserError, match=r"methods +random 0 1 +random 0"):
        evaluated(**{**ours, "methods": ["random", runs[0]]})
    assert Results.load(here) == kept


def test_the_command_line_takes_it_with_a_dash(here, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--suite", "toys:toy_suite", "--methods", "random", "--min_train", "1", "--min_test", "1"])
    assert stop.value.code == 2
    assert "holds the results of another comparison" in capsys.readouterr().err
