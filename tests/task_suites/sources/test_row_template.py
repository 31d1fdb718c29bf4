"""Templates that come with data: what they may do, and that nothing they do grows without end."""

from __future__ import annotations

import pytest

from task_suites.core.errors import UserError
from task_suites.sources.row_template import MAX_TEXT, fields_of, is_template, render

ROW = {"a": "one", "b": ["x", "y"], "n": 3}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{{a}} and {{ b[1] }}", "one and y"),
        ("{% for item in b %}{{ loop.index }}{{ item }}{% endfor %}", "1x2y"),
        ("{{ b | join(', ') }}{% if n > 2 %}!{% endif %}", "x, y!"),
        ("{{ a.replace('o', '0') ~ n * 2 }}", "0ne6"),
        ("{{ a | upper }}\n", "ONE\n"),
    ],
)
def test_fields_filters_and_loops_are_rendered(source, text):
    assert is_template(source) and render(source, ROW, "x") == text


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{{ c }}", "the template fails"),
        ("{{ a.__class__ }}", "the template fails"),
        ("{{ 'x' * 10**9 }}", "the template"),
        ("{{ '%1000000000d' % n }}", "the template fails"),
        ("{% for i in b %}{% for j in b %}{{ i }}{% endfor", "the template cannot be read"),
        ("{% macro m() %}{% endmacro %}", "may not use macro"),
        ("{% set c = [b, b] %}", "may not set a list"),
        ("{{ a | pprint }}", "the template cannot be read"),
        ("{% include 'x' %}", "may not use include"),
        ("x" * 20_001, "longer than"),
    ],
)
def test_what_a_template_may_not_do_is_one_error_with_its_place(source, said):
    with pytest.raises(UserError, match=r"^rows:1: ") as error:
        render(source, ROW, "rows:1")
    assert said in str(error.value)


def test_text_that_grows_is_stopped():
    row = {"a": "x" * (MAX_TEXT // 2), "b": list(range(60_000))}
    for source in (
        "{{ a }}{{ a }}{{ a }}",
        "{{ a ~ a ~ a }}",
        "{% for i in b %}{% for j in b %}{% endfor %}{% endfor %}",
    ):
        with pytest.raises(UserError, match="the template writes too much text"):
            render(source, row, "x")


def test_the_fields_that_a_template_reads_are_known_before_it_is_rendered():
    assert list(fields_of("{{a}} {% for i in b %}{{ i }}{{ c.d }}{% endfor %}")) == ["a", "b", "c"]
    assert list(fields_of("{{")) == []
