"""`metaicl reproduce`: a paper's protocol, and its published numbers beside ours."""

from __future__ import annotations

from eval.config import ReproduceRun
from metaicl.cli.parser import Command


def run(config: ReproduceRun) -> None:
    """Run what is missing of the protocol, and print the table."""
    from eval.reproduce.run import reproduce_run

    reproduce_run(config)


COMMAND = Command(ReproduceRun, run, "metaicl reproduce metaicl --setting hr_to_lr --data MetaICL", ("paper",))
