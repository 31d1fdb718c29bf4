"""`metaicl benchmark`: every method on tasks of each application."""

from __future__ import annotations

from eval.config import BenchmarkRun
from metaicl.cli.parser import Command


def run(config: BenchmarkRun) -> None:
    """Compute what is missing of the benchmark."""
    from eval.benchmark import benchmark_run

    benchmark_run(config)


COMMAND = Command(BenchmarkRun, run, "metaicl benchmark --config configs/benchmark.yaml")
