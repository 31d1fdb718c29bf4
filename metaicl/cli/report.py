"""`metaicl report`: write the page of a finished run again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metaicl.cli.parser import Command


@dataclass(frozen=True)
class Report:
    """Write a finished run's report (or a benchmark's page) again.

    Attributes:
        run: the run's folder.
    """

    run: Path


def run(config: Report) -> None:
    """Write the page and print its path."""
    from eval.report.benchmark import write_benchmark
    from eval.report.page import write_report

    print(write_benchmark(config.run) if (config.run / "benchmark.json").is_file() else write_report(config.run))


COMMAND = Command(Report, run, "metaicl report runs/comparison", ("run",))
