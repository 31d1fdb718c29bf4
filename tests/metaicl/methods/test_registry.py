"""The registry: a line for each method, and the name of a method that has none."""

from __future__ import annotations

from option_methods import Parent

from metaicl.methods import method_class
from metaicl.methods.registry import METHODS, name_of


def test_no_two_names_stand_for_one_class():
    assert len(set(METHODS.values())) == len(METHODS)


def test_a_method_without_a_line_is_named_by_module_and_class_as_a_config_names_it():
    name = name_of(Parent)
    assert name == "option_methods:Parent" and method_class(name) is Parent
