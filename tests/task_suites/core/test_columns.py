"""Aligned columns below a row of their names."""

from __future__ import annotations

from task_suites.core.columns import columns


def test_columns_are_as_wide_as_their_widest_cell_and_no_line_ends_in_blanks():
    lines = columns(("name", "does"), [("a", "this"), ("longer", ""), ("b", "that and more")])
    assert lines == ["name    does", "a       this", "longer", "b       that and more"]


def test_a_column_that_is_empty_in_every_row_is_left_out():
    assert columns(("name", "labels", "about"), [("a", "", "x"), ("b", "", "")]) == ["name  about", "a     x", "b"]
    assert columns(("name", "about"), []) == ["name  about"]
