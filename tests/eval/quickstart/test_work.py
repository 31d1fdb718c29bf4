"""The work of a quickstart of one size: its tasks, its trainings, its comparison."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from eval.quickstart.work import spread_tasks


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 10))
def test_the_tasks_of_a_smaller_comparison_are_among_those_of_a_larger_one(total, count, less):
    tasks = list(range(total))
    chosen = spread_tasks(tasks, count)
    assert len(set(chosen)) == len(chosen) == min(count, total) and chosen == sorted(chosen)
    assert spread_tasks(tasks, 0) == tasks
    if count <= 10:
        assert set(spread_tasks(tasks, min(less, count))) <= set(chosen)
