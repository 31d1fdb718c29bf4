"""Formats by name."""

from __future__ import annotations

import pytest

from task_suites.core.errors import UserError
from task_suites.formats.presets import PRESETS, fields_of
from task_suites.formats.prompt_format import PromptFormat


@pytest.mark.parametrize("name", PRESETS)
def test_every_name_gives_a_format_whose_fields_it_names(name):
    form = PromptFormat(**fields_of(name))
    assert {key: getattr(form, key) for key in fields_of(name)} == dict(fields_of(name))


def test_the_named_formats_differ():
    formats = [PromptFormat(**fields_of(name)) for name in PRESETS]
    assert all(first != second for i, first in enumerate(formats) for second in formats[:i])


def test_an_unknown_name_is_answered_with_the_nearest():
    name = next(iter(PRESETS))
    with pytest.raises(UserError, match=f"no format '{name}x'. Did you mean"):
        fields_of(name + "x")
