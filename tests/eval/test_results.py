"""Results as objects: they come back from JSON as they were, and what is wrong in a file is named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import make
from scripted import PROTOCOL, scripted
from toys import choice_task, toy_task

from eval.evaluate import run_all
from eval.harness import Comparison
from eval.results import Cell, Prediction, Refusal, Results, Roles, predictions_at
from eval.store import CellStore
from task_suites.core.errors import UserError

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
predictions = st.builds(
    Prediction,
    input=texts,
    options=st.none() | st.lists(texts, max_size=3),
    scores=st.none() | st.lists(numbers, max_size=3),
    answer=texts | st.lists(texts, max_size=3),
    truth=texts,
)
head = {"method": texts, "task": texts, "seed": st.integers(0), "k": st.integers(0)}
cells = st.builds(
    Cell,
    **head,
    score=st.floats(0, 1),
    metric=texts,
    n=st.integers(0),
    seconds=numbers,
    adapt_seconds=numbers,
    dropped=st.integers(0),
    ece=st.none() | numbers,
    brier=st.none() | numbers,
    predictions=st.lists(predictions, max_size=3).map(tuple),
    key=texts.filter(bool),
)
refusals = st.builds(Refusal, **head, reason=texts, by_design=st.booleans(), key=texts.filter(bool))


@given(st.lists(cells | refusals, max_size=4, unique_by=lambda cell: cell.key))
def test_finished_cells_come_back_from_their_file_as_they_were(tmp_path_factory, kept):
    path = tmp_path_factory.mktemp("store") / "cells.jsonl"
    store = CellStore(path)
    for cell in kept:
        assert cell.key not in store
        store.add(cell)
    again = CellStore(path)
    assert [again[cell.key] for cell in kept] == kept == [store[cell.key] for cell in kept]


@pytest.mark.parametrize("line", ['{"key": "x"}', '{"method": "m", "task": "t", "seed": 0, "k": 1, "score": 0.5}'])
def test_a_line_that_is_no_finished_cell_is_named_with_its_place(tmp_path, line):
    (tmp_path / "cells.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=r"cells\.jsonl:1: not a finished cell.*Delete the line"):
        CellStore(tmp_path / "cells.jsonl")


@pytest.fixture
def results(tmp_path):
    comparison = Comparison([toy_task(), choice_task()], PROTOCOL, tmp_path)
    contenders = [scripted(), scripted(False)]
    run_all(comparison, contenders, progress=False)
    return comparison.results(
        contenders, "x", "metaicl evaluate", comparison=Roles("right", "wrong"), filtered="A note."
    )


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


def test_predictions_are_read_by_method_and_k(results, tmp_path):
    found = dict(predictions_at(tmp_path, "wrong", 4))
    assert {query[:2] for query in found} == {("toy", 0), ("toy", 1)} and len(found) == 2 * PROTOCOL.queries
    assert all(one.answer != one.truth for one in found.values())
    assert not list(predictions_at(tmp_path, "absent", 4))
    (tmp_path / "predictions" / "odd.jsonl").write_text("[]\n")
    with pytest.raises(UserError, match=r"odd\.jsonl:1: not a JSON object; found list"):
        list(predictions_at(tmp_path, "odd", 4))
