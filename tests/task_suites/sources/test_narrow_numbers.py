"""A number of half or single precision is read as it was written, wherever it stands in a row."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from datasets import Dataset, Features, Value
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from examples import examples
from task_suites.sources.dataset_rows import HubRows
from task_suites.sources.narrow_numbers import restored, restorers
from task_suites.sources.rows import FileRows

SINGLE, HALF = pa.float32(), pa.float16()
SHAPES = {
    "a number": (lambda kind: kind, lambda x: x),
    "a dictionary": (lambda kind: None, lambda x: x),
    "a list": (lambda kind: pa.list_(kind), lambda x: [x, None, x]),
    "an object": (lambda kind: pa.struct([("a", kind), ("b", pa.string())]), lambda x: {"a": x, "b": "b"}),
    "a map": (lambda kind: pa.map_(pa.string(), kind), lambda x: [("key", x)]),
    "objects in a list": (lambda kind: pa.list_(pa.struct([("a", kind)])), lambda x: [{"a": x}, None]),
}
DECIMALS = st.decimals(-999, 999, places=2).map(float)


@examples(60)
@given(st.sampled_from(sorted(SHAPES)), DECIMALS)
def test_a_number_with_few_digits_is_read_with_these_digits(shape, number):
    kind, holding = SHAPES[shape]
    if shape == "a dictionary":
        array = pa.array([number], SINGLE).dictionary_encode()
    else:
        array = pa.array([holding(number)], kind(SINGLE))
    table = pa.table({"x": array, "y": pa.nulls(1)})
    made = restorers(table.schema)
    assert list(made) == ["x"]
    assert restored(table.to_pylist()[0], made)["x"] == holding(number)


@given(st.floats(width=16))
@examples(60)
def test_a_number_of_half_precision_is_the_shortest_text_that_stands_for_it(number):
    found = restored({"x": number}, restorers(pa.schema([("x", HALF)])))["x"]
    assert math.isnan(number) if math.isnan(found) else np.float16(found) == number
    assert len(str(found)) <= len(str(number)) or not math.isfinite(number) or "e" in str(number)


def test_wide_numbers_and_other_types_stay_as_they_are():
    schema = pa.schema([("a", pa.float64()), ("b", pa.int64()), ("c", pa.list_(pa.string()))])
    row = {"a": 3.8, "b": 1, "c": ["x"]}
    assert restorers(schema) == {} and restored(row, {}) is row


def test_a_parquet_file_an_arrow_file_and_a_data_set_say_what_a_csv_file_says(tmp_path):
    ratings = [3.8, 1.25, 0.1]
    table = pa.table({"rating": pa.array(ratings, SINGLE)})
    parquet.write_table(table, tmp_path / "t.parquet")
    with pa.ipc.new_stream(tmp_path / "t.arrow", table.schema) as out:
        out.write_table(table)
    data = Dataset.from_dict({"rating": ratings}, Features({"rating": Value("float32")}))
    for rows in (
        FileRows((tmp_path / "t.parquet",)),
        FileRows((tmp_path / "t.arrow",)),
        HubRows(data, "hub", data.features.to_dict()),
    ):
        assert [row["rating"] for _, row in rows.read()] == ratings


@pytest.mark.parametrize("value", [None, math.inf, -math.inf])
def test_what_is_not_a_finite_number_stays(value):
    assert restored({"x": value}, restorers(pa.schema([("x", SINGLE)])))["x"] == value
