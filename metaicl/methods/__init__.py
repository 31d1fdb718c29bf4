"""`METHODS`, the methods by name (metaicl/methods/registry.py), and `method_class`, which imports one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaicl.methods.registry import METHODS
from task_suites.core.errors import UserError, nearest
from task_suites.sources import load_named

if TYPE_CHECKING:
    from metaicl.methods.base import Method

__all__ = ["METHODS", "method_class"]


def method_class(name: str) -> type[Method]:
    """Return the class of the method of this name: one of the registry, or `package.module:Name`.

    Raises:
        UserError: there is no such method.
    """
    from metaicl.methods.base import Method

    if ":" not in name and name not in METHODS:
        from metaicl.lm.models import meant_run

        run = meant_run(name)
        meant = f"Did you mean the run {run}?" if run else nearest(name, METHODS)
        raise UserError(f"no method {name!r}", fix=f"{meant} Or name your own as package.module:Name.")
    cls = load_named(METHODS.get(name, name))
    if not (isinstance(cls, type) and issubclass(cls, Method)):
        raise UserError(f"{name} is not a method", expected="a subclass of metaicl.methods.base.Method")
    return cls
