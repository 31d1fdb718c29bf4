"""The store of finished work: what is added comes back from its file, and a line that cannot be read is named."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.benchmark_results import Entry, RefusedEntry, entry_store
from eval.cells import Cell, Prediction, Refusal
from eval.store import cell_store
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


pair = {
    "method": texts,
    "task": texts,
    "k": st.integers(0),
    "key": texts.filter(bool),
    "steps": st.none() | st.integers(0),
}
entries = st.builds(
    Entry, **pair, score=numbers, low=numbers, high=numbers, seeds=st.integers(0), brier=st.none() | numbers
)
refused = st.builds(RefusedEntry, **pair, refused=texts)


def _unique(items):
    return st.lists(items, max_size=4, unique_by=lambda item: item.key)


stored = st.tuples(st.just(cell_store), _unique(cells | refusals))
stored |= st.tuples(st.just(entry_store), _unique(entries | refused))


@given(stored)
def test_what_is_added_comes_back_from_the_file_as_it_was(tmp_path_factory, stored):
    open_store, kept = stored
    path = tmp_path_factory.mktemp("store") / "finished.jsonl"
    store = open_store(path)
    for item in kept:
        assert item.key not in store
        store.add(item)
    again = open_store(path)
    assert [again[item.key] for item in kept] == kept == [store[item.key] for item in kept]


@pytest.mark.parametrize("line", ['{"key": "x"}', '{"method": "m", "task": "t", "seed": 0, "k": 1, "score": 0.5}'])
def test_a_line_that_is_not_a_finished_cell_is_named_with_file_and_line(tmp_path, line):
    (tmp_path / "cells.jsonl").write_text(line + "\n")
    with pytest.raises(UserError, match=r"cells\.jsonl:1: not a finished cell.*Delete the line"):
        cell_store(tmp_path / "cells.jsonl")


WRONG = {
    "score": ["high", None, True, [0.5]],
    "k": ["4", 0.5, None, True],
    "task": [None, 3],
    "n": ["3", None],
    "seconds": ["1", None],
    "ece": ["0.1", False],
    "scores": [3, {"macro_f1": "high"}],
    "answers": [None, 3, "x", [1], [{"input": "a"}], [{"answer": 3}], [{"answer": "a", "scores": ["high"]}]],
    "refused": [5, None, ["why"]],
    "key": [None, 3],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in WRONG.items() for value in values])
def test_a_field_of_another_type_is_named_before_anything_is_made_of_it(tmp_path, field, value):
    path = tmp_path / "cells.jsonl"
    answers = (Prediction("a", ["x", "y"], None, "x", "x"),)
    cell_store(path).add(Cell("icl", "mood", 0, 4, 0.5, "accuracy", 1, 1.0, predictions=answers, key="one"))
    assert cell_store(path)["one"].score == 0.5
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}) + "\n")
    with pytest.raises(UserError, match=r"cells\.jsonl:1: not a finished cell: .*Delete the line"):
        cell_store(path)
