"""What `metaicl tune` chooses for a method: values of the method's options and of options of its training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from metaicl.training.config import TrainerConfig
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError
from task_suites.core.values import as_yaml, plain
from task_suites.core.yaml_files import read_yaml

FILE = "hyperparameters.yaml"  # in a study's folder: what it has chosen
TRAINER = tuple(f.name for f in fields(TrainerConfig))
OPTION = "options."  # before the name of a method's option, where those of training stand beside it


@dataclass(frozen=True)
class Hyperparameters:
    """Values that were chosen for a method; all other options stay as they are.

    Attributes:
        options: options of the method, by name.
        training: options of `TrainerConfig`, by name.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_settings(cls, settings: Mapping[str, Any], options: Mapping[str, Any]) -> Hyperparameters:
        """Return the hyperparameters of a trial.

        Args:
            settings: what is tuned: an option of the method under `options.NAME`, an option of training under its name.
            options: the method's options that are not tuned.
        """
        tuned = {name.removeprefix(OPTION): value for name, value in settings.items() if name.startswith(OPTION)}
        training = {name: value for name, value in settings.items() if name in TRAINER}
        return cls({**options, **tuned}, training)

    @classmethod
    def read(cls, path: Path, method: str) -> Hyperparameters:
        """Return the hyperparameters in a file that `write` made.

        Raises:
            UserError: the file holds something else, or another method's hyperparameters.
        """
        given = read_yaml(path)
        if not isinstance(given, dict) or not set(given) <= {"method", "method_options", *TRAINER}:
            expected = "method, method_options and options of training (`metaicl tune` writes such a file)"
            raise UserError("not a file of hyperparameters", where=path, expected=expected)
        if given.get("method") != method:
            what = "the hyperparameters are another method's"
            raise UserError(what, where=path, found=given.get("method"), expected=method)
        return cls(given.get("method_options", {}), {n: v for n, v in given.items() if n in TRAINER})

    def write(self, path: Path, method: str) -> None:
        """Write them as a configuration that `metaicl train --config` takes."""
        write_text(path, as_yaml(self.to_dict(method)))

    def to_dict(self, method: str) -> dict[str, Any]:
        """Return the part of a training's configuration that they are."""
        return plain({"method": method, "method_options": dict(self.options), **self.training})  # type: ignore[no-any-return]

    def trainer(self, config: TrainerConfig) -> TrainerConfig:
        """Return the options of training with these values in them."""
        return replace(config, **self.training)
