"""The number of processes changes nothing but rounding, also where it changes between a checkpoint and its resume."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from worlds import apart, launch, prepare

LARGEST, MEAN = 1e-10, 1e-12  # of weights in float64 after 50 steps; 1e-15 and 1e-17 were seen after ten


@pytest.mark.slow
def test_one_two_and_four_processes_reach_the_same_weights_in_every_family(tmp_path):
    prepare(tmp_path)
    launch(tmp_path, 1)
    launch(tmp_path, 2, "1")
    launch(tmp_path, 4, "2")
    pairs = [("1/*", "2/*"), ("1/*", "4/*"), ("1/*", "2/*-continued"), ("1/*", "4/*-continued")]
    for one, other in pairs:
        for family, far in apart(tmp_path, one, other).items():
            print(one, other, family, asdict(far))
            assert far.largest <= LARGEST and far.mean <= MEAN, f"{family}, {one} and {other}: {far}"
