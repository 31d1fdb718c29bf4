"""Options that would change nothing: a value other than the default is refused where nothing reads it.

An option that equals its default is taken: a run's own `config.yaml` holds them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from task_suites.core.errors import UserError


def defaults_of(config: Any) -> dict[str, Any]:
    """Return the default of every field of a dataclass that has one."""
    return {
        f.name: f.default_factory() if f.default_factory is not MISSING else f.default
        for f in fields(config)
        if f.default is not MISSING or f.default_factory is not MISSING
    }


def refuse_idle(config: Any, names: Iterable[str], needs: str, before: str = "", used: bool = False) -> None:
    """Raise where one of a dataclass's fields differs from its default and nothing reads it.

    Args:
        names: the fields.
        needs: what would have to be given for them to be read.
        before: what the names of its options begin with, where they differ from those of its fields.
        used: whether they are read.

    Raises:
        UserError: names the first of them.
    """
    if not used:
        default = defaults_of(config)
        given = {name: getattr(config, name) for name in names}
        refuse_values(
            {n: v for n, v in given.items() if v != default[n] and (v or default[n])},
            needs,
            before,
        )


def refuse_values(given: Mapping[str, Any], needs: str, before: str = "") -> None:
    """Raise where values are given that nothing reads."""
    for name, value in given.items():
        shown = str(value).lower() if isinstance(value, bool) else value
        raise UserError(f"{before}{name} is {shown}, which changes nothing without {needs}", fix="Leave it out.")
