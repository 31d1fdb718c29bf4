"""The range of every numeric option, declared in its type and checked when the option gets its value.

    @dataclass(frozen=True)
    class Config:
        steps: Count = 100             # a whole number, at least 1
        lr: Positive = 1e-3            # above 0
        share: Share | None = None     # between 0 and 1, or unset

        def __post_init__(self) -> None:
            check_ranges(self, "trainer")

NaN and the infinities are in no range.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from task_suites.core.errors import UserError


@dataclass(frozen=True)
class Range:
    """The numbers that an option may be: from `least` to `most`, or `above` and `below` a bound that is left out."""

    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    def __contains__(self, value: float) -> bool:
        return (
            math.isfinite(value)
            and (self.least is None or value >= self.least)
            and (self.most is None or value <= self.most)
            and (self.above is None or value > self.above)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        if self.least is not None and self.most is not None:
            return f"between {self.least:g} and {self.most:g}"
        bounds = (("at least", self.least), ("above", self.above), ("at most", self.most), ("below", self.below))
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None) or "finite"


Count = Annotated[int, Range(least=1)]
Natural = Annotated[int, Range(least=0)]
Whole = Annotated[int, Range(least=-(10**15), most=10**15)]  # a seed: torch takes no more than 64 bits
Finite = Annotated[float, Range()]
Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(least=0)]
Share = Annotated[float, Range(least=0, most=1)]
Order = Annotated[int, Range(least=1, most=2)]
Call = TypeVar("Call", bound=Callable[..., Any])


def ranges_of(hint: Any) -> Iterator[tuple[type, Range]]:
    """The (type, range) pairs that a type hint declares, for the value itself or for those that it holds."""
    if get_origin(hint) is Annotated:
        kind, *more = get_args(hint)
        yield from ((kind, item) for item in more if isinstance(item, Range))
    else:
        for part in get_args(hint):
            yield from ranges_of(part)


def check_ranges(config: Any, section: str = "") -> None:
    """Raise unless every numeric field of a dataclass is in its range.

    Args:
        section: what stands before a field's name in a configuration, without the dot.

    Raises:
        UserError: names the option, its value, its range and what it means.
    """
    ranges = _hints(type(config))  # type: ignore[arg-type]
    _check(type(config), ranges, vars(config), f"{section}." if section else "")


def with_checked_arguments(init: Call) -> Call:
    """A constructor that checks the ranges of its arguments before it runs."""
    names = list(inspect.signature(init).parameters)[1:]

    @functools.wraps(init)
    def checked(self: Any, *args: Any, **kwargs: Any) -> None:
        _check(type(self), _hints(init), dict(zip(names, args, strict=False)) | kwargs, "option ")
        init(self, *args, **kwargs)

    return checked  # type: ignore[return-value]


@functools.cache
def _hints(owner: Hashable) -> dict[str, list[tuple[type, Range]]]:
    """The ranges that a class or function declares, by the name of its field or argument."""
    try:
        hints = get_type_hints(owner, include_extras=True)
    except NameError:  # a user's class whose annotations are for type checkers only: it declares no ranges
        return {}
    return {name: found for name, hint in hints.items() if (found := list(ranges_of(hint)))}


def _check(owner: type, ranges: Mapping[str, list[tuple[type, Range]]], values: Mapping[str, Any], before: str) -> None:
    for name, declared in ranges.items():
        for kind, allowed in declared:
            for value in _numbers(values.get(name)):
                number = isinstance(value, Real) and not isinstance(value, bool)
                whole = isinstance(value, Integral) or kind is not int
                if not (number and whole and float(value) in allowed):
                    what = "a whole number, " if number and not whole else ""
                    raise UserError(
                        f"{before}{name} must be {what}{allowed}, but is {value!r}", fix=_meaning(owner, name)
                    )


def _numbers(value: Any) -> Iterator[Any]:
    """The value, or those in a list or dictionary; nothing where the option is unset."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        yield from value
    elif value is not None:
        yield value


def _meaning(owner: type, name: str) -> str | None:
    """What the docstring of a class, or of one that it is made from, says of an attribute or argument."""
    for cls in owner.__mro__:
        if found := re.search(rf"^ +{name}: (.+(?:\n {{12,}}.+)*)", cls.__doc__ or "", re.M):
            return f"It means: {' '.join(found[1].split()).rstrip('.')}."
    return None
