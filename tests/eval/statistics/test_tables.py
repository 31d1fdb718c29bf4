"""Cells as tables of points: checked, sorted, and the same in any order."""

from __future__ import annotations

import math

import pytest

from eval.cells import Cell
from eval.statistics import generator, mean_interval, worst_seed
from task_suites.core.errors import UserError


def cells(table, method="m"):
    """Cells out of {task: {seed: score}}."""
    return [Cell(method, task, seed, 16, score) for task, seeds in table.items() for seed, score in seeds.items()]


def test_seeds_sort_by_size_and_may_be_texts():
    assert worst_seed(cells({"a": {10: 0.5, 9: 0.5, "x": 0.5}})) == (9, 50.0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "there are no cells; expected at least one"),
        (
            cells({"a": {0: 0.5}}) * 2,
            "task a, seed 0 has several cells; expected the cells of one method at one k. "
            "Select by method and k first.",
        ),
        *(
            (cells({"a": {0: bad}}), f"task a, seed 0: the score must be a number from 0 to 1; found {bad!r}")
            for bad in (50.0, 1.0001, -0.0001, math.nan, None, "0.5")
        ),
    ],
)
def test_wrong_cells_are_refused_with_what_was_found_and_what_is_expected(given, message):
    with pytest.raises(UserError) as error:
        mean_interval(given)
    assert str(error.value) == message


def test_scores_from_nothing_to_one_are_taken():
    assert mean_interval(cells({"a": {0: 0, 1: 1.0}})).mean == 50.0


def test_a_name_seeds_the_same_generator_for_ever():
    assert generator("bootstrap/mean").integers(1 << 32, size=2).tolist() == [2326212318, 2156938388]
