"""`metaicl map`: every method on tasks of each application."""

from __future__ import annotations

from eval.config import MapRun
from metaicl.cli.parser import Command


def run(config: MapRun) -> None:
    """Fill what is missing of the map."""
    from eval.map import map_run

    map_run(config)


COMMAND = Command(MapRun, run, "metaicl map --config configs/map.yaml")
