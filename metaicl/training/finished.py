"""A meta-training that has ended, by its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metaicl.methods.base import Method
from metaicl.training.checkpoint import load_method
from metaicl.training.identity import RunRecord, read_record
from task_suites.core.errors import UserError


@dataclass(frozen=True)
class Run(os.PathLike[str]):
    """One meta-training. It stands for its folder wherever a trained method is expected.

    Attributes:
        folder: what `metaicl train` wrote.
    """

    folder: Path

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def record(self) -> RunRecord:
        """What the run is, on which data, and how it ended.

        Raises:
            UserError: the folder holds no training.
        """
        if (record := read_record(self.folder)) is None:
            fix = "Train one: metaicl train --output_dir FOLDER."
            raise UserError(
                "this is not a training", where=self.folder, expected="a folder that `metaicl train` wrote", fix=fix
            )
        return record

    @property
    def identity(self) -> Mapping[str, Any]:
        """Every option that decides the run's result, by name."""
        return self.record.identity

    def open(self) -> Method:
        """Return the trained method with its best weights.

        Raises:
            UserError: the folder holds no trained method, or its base model is gone.
        """
        return load_method(self.folder / "best")
