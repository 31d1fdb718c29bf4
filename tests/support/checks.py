"""The checks of how a model is run, done once for each configuration of the tiny random model."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from metaicl.lm import choice_cache, tiny
from metaicl.lm.choice import Choice
from metaicl.lm.config import BackboneConfig

_entry = choice_cache.entry
_kept: dict[str, Choice] = {}


@dataclass(frozen=True)
class _Kept:
    """An entry of this process; the tiny model of a configuration is the same each time that it is built."""

    key: str

    def read(self) -> Choice | None:
        return _kept.get(self.key)

    def write(self, choice: Choice) -> None:
        _kept[self.key] = choice


def _remembered(config: BackboneConfig, model: Any, device: str) -> Any:
    if config.model != tiny.NAME:
        return _entry(config, model, device)
    return _Kept(f"{config} {device} {next(model.parameters()).dtype}")


def remembered() -> AbstractContextManager[Any]:
    """Return a context in which a configuration of the tiny model is checked at its first loading only (half of the
    time that a loading takes)."""
    return patch.object(choice_cache, "entry", _remembered)


def repeated() -> AbstractContextManager[Any]:
    """Return a context in which every loading checks its model, as it does outside of the tests."""
    return patch.object(choice_cache, "entry", _entry)
