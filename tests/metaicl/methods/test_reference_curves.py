"""Fifty steps of each family of methods give the losses that they gave before, whatever way they are computed in."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from curves import DTYPES, FAMILIES, Bound, Curve, check, configure, distance, read, reference, train
from helpers import launch_two

LATE = ("in_context", "channel")
# Ways of computing the same steps: what is changed, families that are trained so, families of slow tests
SAME: dict[str, tuple[dict, tuple[str, ...], tuple[str, ...]]] = {
    "episodes accumulated one by one": ({"row_tokens": 1}, (), ("in_context", "channel")),
    "two episodes a row": ({"row_tokens": 420}, ("in_context",), ()),
    "each prompt in a row of its own": (
        {"attn_implementation": "plain"},
        ("metric",),
        ("in_context", "channel"),
    ),
    "a dense mask": ({"attn_implementation": "dense"}, (), ("in_context", "metric")),
    "layers computed again in the backward pass": (
        {"gradient_checkpointing": True},
        (),
        ("in_context", "channel"),
    ),
}
WAYS = [
    *((way, family) for way, (_, families, _) in SAME.items() for family in families),
    *(pytest.param(way, f, marks=pytest.mark.slow) for way, (*_, families) in SAME.items() for f in families),
]
# Another training, however little: each has to leave the curve.
OTHER = {
    "schedule": {"lr_scheduler_type": "linear"},
    "draws": {"seed": 1},
    "decay": {"weight_decay": 0.011},
}


@pytest.mark.parametrize("dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_takes_the_steps_of_its_reference_curve(tmp_path, family, dtype):
    check(train(family, dtype, tmp_path), *reference(family, dtype), name=f"{family} in {dtype}")


@pytest.mark.parametrize(("way", "family"), WAYS)
def test_ways_of_computing_the_same_steps_give_the_same_curve(tmp_path, way, family):
    found = train(family, "float64", tmp_path, SAME[way][0])
    check(found, *reference(family, "float64"), name=f"{family} in float64, {way}")


TWO_PROCESSES = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
import torch
torch.set_num_threads(1)
from curves import run
run(Path(sys.argv[1]) / "train.yaml", "float64")
"""


@pytest.mark.slow
def test_two_processes_give_the_curve_of_one(tmp_path):
    configure("in_context", "float64", tmp_path)
    launch_two(TWO_PROCESSES, tmp_path, timeout=300)
    check(read(tmp_path / "runs" / "run"), *reference("in_context", "float64"), name="in_context on two processes")


@pytest.mark.parametrize("change", OTHER)
def test_another_training_leaves_the_curve(tmp_path, change):
    found = train("metric", "float32", tmp_path, OTHER[change])
    with pytest.raises(AssertionError, match=r"metric in float32: the curve is not the reference's from step \d+ on"):
        check(found, *reference("metric", "float32"), name="metric in float32")


def test_a_curve_that_is_off_is_refused_with_step_and_distance():
    wanted = Curve((1.0, 2.0, 3.0, 4.0), 5.0)
    bound = Bound(largest=0.1, mean=0.02)
    check(replace(wanted, losses=(1.0, 2.07, 3.0, 4.0), norm=5.4), wanted, bound, "toy")
    off = replace(wanted, losses=(1.0, 2.2, 2.5, 4.0))
    with pytest.raises(AssertionError, match=r"toy: .* from step 2 on.* 0\.5 at most, at step 3 \(2\.5, reference 3\)"):
        check(off, wanted, bound, "toy")
    drift = replace(wanted, losses=(1.03, 2.03, 3.03, 4.03))
    with pytest.raises(AssertionError, match=r"0\.03 on average; .*Allowed: 0\.1 at most, 0\.02 on average"):
        check(drift, wanted, bound, "toy")
    with pytest.raises(AssertionError, match=r"the norm of the weights differs by 0\.2 of itself"):
        check(replace(wanted, norm=6.0), wanted, bound, "toy")
    for bad in (replace(wanted, losses=(1.0, math.nan, 3.0, 4.0)), replace(wanted, norm=math.inf)):
        with pytest.raises(AssertionError, match="not finite"):
            distance(bad, wanted)


@pytest.mark.parametrize("family", FAMILIES)
def test_bounds_are_far_below_what_a_step_changes(family):
    for dtype in DTYPES:
        curve, bound = reference(family, dtype)
        steps = [abs(a - b) for a, b in zip(curve.losses, curve.losses[1:], strict=False)]
        assert len(curve.losses) == 50 and bound.mean <= bound.largest < 0.001 * sum(steps) / len(steps)
