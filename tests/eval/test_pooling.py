"""Several trainings are one row, and its interval includes what differs between them."""

import math

import pytest
from pages import make

from eval.pooling import pooled, trainings_pooled
from eval.report.summary import rows
from eval.report.texts import markdown, table
from eval.results import Results
from task_suites.core.errors import UserError


@pytest.fixture
def results(tmp_path):
    made = make(tmp_path, predictions=False)
    again = [{**c, "method": "again", "score": c["score"] - 0.04} for c in made["cells"] if c["method"] == "metaicl"]
    made["methods"].append({**made["methods"][1], "name": "again", "label": "MetaICL (again)"})
    for method in made["methods"]:
        method["method"] = "metaicl" if method["name"] in ("metaicl", "again") else method["name"]
    return Results.from_json(made | {"cells": made["cells"] + again})


def test_trainings_become_one_row_with_the_mean_of_both(results):
    whole = pooled(results, ["metaicl", "again"], "Ours")
    assert [m.name for m in whole.methods] == ["icl", "metaicl", "proto"] and len(whole.cells) == len(results.cells)
    alone, both = rows(results)[0], rows(whole)[0]
    assert both.label == "Ours" and both.mean.mean == pytest.approx(alone.mean.mean - 2)
    assert both.gain.mean == pytest.approx(alone.gain.mean - 2) and both.method.train_seconds == 150
    assert "Ours" in table(whole) and "Ours" in markdown(whole)


def test_the_interval_includes_the_trainings(results):
    alone, both = rows(results)[0].gain, rows(pooled(results, ["metaicl", "again"]))[0].gain
    assert both.high - both.low > alone.high - alone.low and not math.isnan(both.low)


def test_pooled_results_are_written_and_read(results):
    whole = pooled(results, ["again", "metaicl"])
    assert Results.from_json(whole.to_json()) == whole
    assert {cell.run for cell in whole.cells_of("again")} == {"again", "metaicl"}
    assert whole.comparison.method == "again"


def test_all_trainings_of_a_method_are_put_together_and_others_stay(results):
    assert trainings_pooled(results) == pooled(results, ["metaicl", "again"])
    with pytest.raises(UserError, match="no method has several trainings to put together"):
        trainings_pooled(trainings_pooled(results))


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (["metaicl"], "too few trainings to put together; found metaicl"),
        (["again", "again"], "too few trainings"),
        (["metaicl", "agian"], "no method 'agian' in the results"),
        (["metaicl", "proto"], "only trainings of one method can be put together; found metaicl, proto"),
        (["metaicl", "icl"], "only trainings of one method can be put together; found icl, not trained, metaicl"),
    ],
)
def test_what_cannot_be_put_together_is_refused(results, runs, message):
    with pytest.raises(UserError) as error:
        pooled(results, runs)
    assert str(error.value).startswith(message)
