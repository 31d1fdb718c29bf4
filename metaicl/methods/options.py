"""What options a method's class takes: a name or a type that is wrong is told before the class is called.

The call itself is not guarded: a `TypeError` inside of it is a bug, and is raised.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from task_suites.core.errors import UserError, nearest

GIVEN = ("self", "backbone", "form")  # what every class is called with
PLAIN: Mapping[str, tuple[type, ...]] = {"bool": (bool,), "int": (int,), "float": (int, float), "str": (str,)}


def parameters(cls: type) -> Iterator[inspect.Parameter]:
    """The options of a class, and those of its parents to which it passes `**options`."""
    seen = set(GIVEN)
    for parent in cls.__mro__:
        if "__init__" not in vars(parent):
            continue
        own = inspect.signature(vars(parent)["__init__"]).parameters.values()
        for parameter in own:
            if parameter.name not in seen and parameter.kind is not parameter.VAR_KEYWORD:
                seen.add(parameter.name)
                yield parameter
        if not any(p.kind is p.VAR_KEYWORD for p in own):  # its parents' arguments are not the user's
            return


def check_options(method: str, cls: type, given: Mapping[str, Any]) -> None:
    """Raise where a class cannot be called with these options.

    Raises:
        UserError: an unknown option, one that is missing, a plain value of another type, or an abstract class.
    """
    if abstract := sorted(getattr(cls, "__abstractmethods__", ())):
        raise UserError(f"method {method} does not say how to {' and '.join(abstract)}", fix="Define it in its class.")
    known = {parameter.name: parameter for parameter in parameters(cls)}
    for name, value in given.items():
        if name not in known:
            raise UserError(f"method {method} has no option {name!r}", fix=nearest(name, known))
        annotation = known[name].annotation
        kind = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
        if not isinstance(value, PLAIN.get(kind, object)) or (isinstance(value, bool) and kind in ("int", "float")):
            raise UserError(
                f"option {name} of method {method} has a value of the wrong type",
                found=f"{value!r} ({type(value).__name__})",
                expected=kind,
            )
    missing = [name for name, parameter in known.items() if parameter.default is parameter.empty and name not in given]
    if missing:
        raise UserError(f"method {method} needs the option {missing[0]!r}", fix="Give it in method_options.")
