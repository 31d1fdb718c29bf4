"""The configuration of a model: what is unset gets a value once, and what is given is never replaced."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaicl.lm.config import Adapters, BackboneConfig
from task_suites.core.errors import UserError

given_or_unset = st.none() | st.integers(1, 64)


def test_adapters_have_rank_16_on_all_linear_layers_where_nothing_is_given():
    assert BackboneConfig().adapters() == Adapters(16, 32, "all-linear", 0, False, False)


@given(r=given_or_unset, alpha=given_or_unset)
def test_the_scale_of_adapters_is_two_unless_alpha_is_given(r, alpha):
    found = BackboneConfig(lora_r=r, lora_alpha=alpha).adapters()
    assert found.alpha / found.r == (2 if alpha is None else alpha / (r or 16))


@given(
    r=given_or_unset,
    weights=st.sampled_from([None, "lora", "full", "frozen"]),
    targets=st.sampled_from([None, "query-value"]),
    layers=st.none() | st.integers(0, 5),
)
def test_a_resolved_configuration_keeps_what_is_given_and_is_its_own_resolution(r, weights, targets, layers):
    config = BackboneConfig(lora_r=r, weights=weights, target_modules=targets, lora_layers=layers)
    resolved = config.resolved()
    assert resolved.resolved() == resolved
    for field in fields(config):
        value = getattr(config, field.name)
        assert (
            getattr(resolved, field.name) == value if value is not None else getattr(resolved, field.name) is not None
        )


@pytest.mark.parametrize(
    ("options", "named"),
    [({"lora_r": 0}, "lora_r"), ({"lora_alpha": -2}, "lora_alpha"), ({"lora_layers": -1}, "lora_layers")],
)
def test_a_number_outside_its_range_is_refused_by_its_name(options, named):
    with pytest.raises(UserError, match=named):
        BackboneConfig(**options)
