"""The precision that `auto` means here: what is measured to be quicker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaicl.lm import devices, machine
from metaicl.lm.config import BackboneConfig
from metaicl.lm.devices import CLEARLY, precision_for, product_seconds, quicker, settled, with_precision


@pytest.fixture
def become(monkeypatch, tmp_path):
    """Make this machine one whose matrix products take given seconds, with an empty cache."""

    def make(bf16, fp32):
        monkeypatch.setattr(
            devices, "product_seconds", lambda precision: {"bfloat16": bf16, "float32": fp32}[precision]
        )
        monkeypatch.setattr(machine, "identity", lambda: f"machine {bf16} {fp32}")

    monkeypatch.setattr(machine, "user_cache", lambda: tmp_path)
    return make


@given(st.floats(1e-9, 1e3), st.floats(1e-9, 1e3))
def test_bf16_is_taken_if_and_only_if_it_is_clearly_quicker(bf16, fp32):
    assert quicker({"bfloat16": bf16, "float32": fp32}) == ("bfloat16" if bf16 < CLEARLY * fp32 else "float32")


def test_the_quicker_precision_is_taken_on_a_cpu(become):
    become(bf16=5.0, fp32=1.0)
    assert precision_for("cpu") == "float32"
    become(bf16=0.5, fp32=1.0)
    assert precision_for("cpu") == "bfloat16"


def test_a_precision_that_is_given_is_never_measured_and_options_stay_unset(become, monkeypatch):
    become(bf16=0.5, fp32=1.0)
    auto = with_precision(BackboneConfig(device="cpu"))
    assert auto.dtype == "bfloat16" and auto.lora_r is None and auto.weights is None
    assert settled(BackboneConfig(), "cpu") == BackboneConfig(dtype="bfloat16").resolved()
    monkeypatch.setattr(devices, "measured_once", lambda *_: pytest.fail("it was measured"))
    given_ = BackboneConfig(dtype="float32", device="cpu")
    assert with_precision(given_) == given_


def test_a_product_takes_time_in_either_precision():
    assert product_seconds("float32", rounds=1) > 0 and product_seconds("bfloat16", rounds=1) > 0
