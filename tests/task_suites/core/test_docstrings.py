"""What docstrings say of attributes, in one line each."""

from __future__ import annotations

from task_suites.core.docstrings import documented


class Parent:
    """A parent.

    Attributes:
        size: how many there are,
            in all.
        name: what the parent says.
    """


class Child(Parent):
    """A child.

    Attributes:
        name: what the child says: with a colon.

    Raises:
        ValueError: this is found too, as it is written alike.
    """


class Silent(Child):
    pass


def test_an_attribute_is_described_in_one_line_by_the_class_itself_before_its_parents():
    found = documented(Child)
    assert found["size"] == "how many there are, in all."
    assert found["name"] == "what the child says: with a colon."


def test_a_class_without_a_docstring_repeats_those_that_it_inherits_from():
    assert documented(Silent) == documented(Child)
    assert documented(int) == {}
