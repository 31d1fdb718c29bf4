"""What the docstring of a class says of its attributes: help texts and errors repeat it."""

from __future__ import annotations

import inspect
import re


def documented(cls: type) -> dict[str, str]:
    """Return what a class's docstring, or those of the classes that it inherits from, say of each attribute, in one
    line. Where several say something, the class itself comes first."""
    found: dict[str, str] = {}
    for parent in reversed(cls.__mro__):
        text = inspect.cleandoc(vars(parent).get("__doc__") or "")  # Python 3.13 keeps no indentation, earlier ones do
        for name, about in re.findall(r"^    (\w+): (.+(?:\n {8,}.+)*)", text, re.M):
            found[name] = " ".join(about.split())
    return found
