"""Results as objects: they come back from JSON as they were, and what is wrong in a file is named."""

from __future__ import annotations

import json

import pytest
from pages import make
from scripted import PROTOCOL, scripted
from toys import choice_task, toy_task

from eval.evaluate import run_all
from eval.harness import Comparison
from eval.results import Results, Roles
from task_suites.core.errors import UserError


@pytest.fixture
def results(tmp_path):
    comparison = Comparison([toy_task(), choice_task()], PROTOCOL, tmp_path)
    contenders = [scripted(), scripted(False)]
    run_all(comparison, contenders, progress=False)
    return comparison.results(
        contenders, "x", "metaicl evaluate", comparison=Roles("right", "wrong"), filtered="A note."
    )


def test_results_are_one_line_where_they_are_not_printed(results):
    assert repr(results) == "<Results of x: 2 methods on 2 tasks, k [2, 4]>"


def test_results_come_back_from_json_as_they_were(results):
    assert results.refusals and results.cells
    assert Results.from_json(json.loads(json.dumps(results.to_json()))) == results


def test_results_of_an_earlier_version_without_optional_fields_are_read(tmp_path):
    whole = make(tmp_path)
    for name in ("filtered", "comparison", "notes", "refusals", "seconds", "k"):
        del whole[name]
    found = Results.from_json({**whole, "comparison": None, "more": 1})
    assert found.comparison == Roles() and found.refusals == () and found.k == []


def test_a_table_has_a_row_for_each_cell_and_each_refusal(results):
    table = results.to_pandas()
    assert len(table) == len(results.cells) + len(results.refusals) == 16
    scored = table[table.reason.isna()]
    means = scored.groupby("label").score.mean()
    assert means["Right"] == 1.0 and means["Wrong"] == 0.0
    assert set(table[table.reason.notna()].task) == {"choice"} and list(table.columns[:3]) == [
        "method",
        "label",
        "task",
    ]


@pytest.mark.parametrize("field", ["name", "created", "command", "manifest", "headline_k", "seeds", "seconds", "notes"])
def test_a_field_of_another_type_is_named(results, field):
    for value in (True, [{}] if field not in ("seeds", "notes") else "x"):
        with pytest.raises(UserError, match=f"{field} in the top level has a wrong type"):
            Results.from_json({**results.to_json(), field: value})


def test_a_run_that_is_named_without_its_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    (tmp_path / "runs" / "mine" / "results.json").write_text("{}")
    with pytest.raises(UserError, match="Did you mean runs/mine"):
        Results.load("mine")
    with pytest.raises(UserError, match="Evaluate first"):
        Results.load("other")
