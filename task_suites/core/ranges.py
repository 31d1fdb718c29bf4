"""The range of every numeric option, declared in its type and checked when the option gets its value.

    @dataclass(frozen=True)
    class Config:
        steps: Count = 100             # a whole number, at least 1
        lr: Positive = 1e-3            # above 0
        share: Share | None = None     # between 0 and 1, or unset

        def __post_init__(self) -> None:
            check_ranges(self)

NaN and the infinities are in no range.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from task_suites.core.docstrings import documented
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
Folds = Annotated[int, Range(least=2)]
Natural = Annotated[int, Range(least=0)]
Whole = Annotated[int, Range(least=-(10**15), most=10**15)]  # a seed: torch takes no more than 64 bits
Finite = Annotated[float, Range()]
Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(least=0)]
Share = Annotated[float, Range(least=0, most=1)]
Order = Annotated[int, Range(least=1, most=2)]


def ranges_of(hint: Any) -> Iterator[tuple[type, Range]]:
    """Yield the (type, range) pairs that a type hint declares, for the value itself or for those that it holds."""
    if get_origin(hint) is Annotated:
        kind, *more = get_args(hint)
        yield from ((kind, item) for item in more if isinstance(item, Range))
    else:
        for part in get_args(hint):
            yield from ranges_of(part)


def check_ranges(config: Any, before: str = "") -> None:
    """Raise unless every numeric field of a dataclass is in its range.

    Args:
        before: what the names of its options begin with, where they differ from those of its fields.

    Raises:
        UserError: names the option, its value, its range and what it means.
    """
    for name, declared in _declared_ranges(type(config)).items():  # type: ignore[arg-type]
        for kind, allowed in declared:
            for value in _numbers(getattr(config, name)):
                number = isinstance(value, Real) and not isinstance(value, bool)
                whole = isinstance(value, Integral) or kind is not int
                if not (number and whole and float(value) in allowed):
                    what = "a whole number, " if number and not whole else ""
                    raise UserError(
                        f"{before}{name} must be {what}{allowed}, but is {value!r}", fix=what_it_means(config, name)
                    )


@functools.cache
def _declared_ranges(config: type) -> dict[str, list[tuple[type, Range]]]:
    """Return the ranges that the fields of a dataclass declare, by field."""
    hints = get_type_hints(config, include_extras=True)
    return {name: found for name, hint in hints.items() if (found := list(ranges_of(hint)))}


def _numbers(value: Any) -> Iterator[Any]:
    """Yield the value, or those in a list or dictionary; nothing where the option is unset."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        yield from value
    elif value is not None:
        yield value


def what_it_means(config: Any, name: str) -> str | None:
    """Return the ending of an error about a field of a dataclass: what the field means; None where nothing says so."""
    text = documented(type(config)).get(name)
    return f"It means: {text.rstrip('.')}." if text else None
