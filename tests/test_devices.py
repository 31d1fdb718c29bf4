"""The precision that `auto` means here: what is measured to be quicker, once for each machine."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaicl import devices
from metaicl.config import BackboneConfig
from metaicl.devices import CLEARLY, precision_for, product_seconds, quicker, settled, with_precision


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with times of its own, and an empty cache; the list has what was measured."""
    measured = []

    def become(name, bf16, fp32):
        def seconds(precision):
            measured.append((name, precision))
            return {"bf16": bf16, "fp32": fp32}[precision]

        devices._measured_once.cache_clear()  # as in a fresh process
        monkeypatch.setattr(devices, "identity", lambda: name)
        monkeypatch.setattr(devices, "product_seconds", seconds)

    monkeypatch.setattr(devices, "cache_folder", lambda: tmp_path / "models")
    yield become, measured, tmp_path / "precision.json"
    devices._measured_once.cache_clear()


@given(st.floats(1e-9, 1e3), st.floats(1e-9, 1e3))
def test_bf16_is_taken_if_and_only_if_it_is_clearly_quicker(bf16, fp32):
    assert quicker({"bf16": bf16, "fp32": fp32}) == ("bf16" if bf16 < CLEARLY * fp32 else "fp32")


def test_a_machine_is_measured_once_and_another_one_again(machine):
    become, measured, path = machine
    become("old", bf16=5.0, fp32=1.0)
    assert precision_for("cpu") == "fp32"
    become("new", bf16=0.5, fp32=1.0)
    assert precision_for("cpu") == "bf16"
    assert json.loads(path.read_text()) == {"old": "fp32", "new": "bf16"}
    become("old", bf16=0.1, fp32=1.0)
    assert precision_for("cpu") == "fp32"  # as it was found: a run that goes on has the precision that it began with
    assert len(measured) == 4


@pytest.mark.parametrize("damage", ["", "{", "[1]", '{"old": "int4"}', '{"old": 3}'])
def test_a_damaged_cache_is_measured_again_and_a_cache_without_a_place_does_no_harm(machine, damage, monkeypatch):
    become, measured, path = machine
    path.write_text(damage)
    become("old", bf16=0.5, fp32=1.0)
    assert precision_for("cpu") == "bf16" and json.loads(path.read_text()) == {"old": "bf16"}
    monkeypatch.setattr(devices, "cache_folder", lambda: path / "below a file" / "models")
    become("old", bf16=5.0, fp32=1.0)
    assert precision_for("cpu") == "fp32" and len(measured) == 4


def test_a_precision_that_is_given_is_never_measured_and_options_stay_unset(machine):
    become, measured, _ = machine
    become("old", bf16=0.5, fp32=1.0)
    given_ = BackboneConfig(precision="fp32", device="cpu")
    assert with_precision(given_) == given_ and not measured
    auto = with_precision(BackboneConfig(device="cpu"))
    assert auto.precision == "bf16" and auto.lora_r is None and auto.weights is None
    assert settled(BackboneConfig(), "cpu") == BackboneConfig(precision="bf16").resolved()


def test_a_product_takes_time_in_either_precision():
    assert product_seconds("fp32", rounds=1) > 0 and product_seconds("bf16", rounds=1) > 0
