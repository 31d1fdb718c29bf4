"""`Options`: what the `Config` of every method is made from. It checks each value when a `Config` is made.

    class Nearest(Method):
        @dataclass(frozen=True)
        class Config(Method.Config):
            neighbours: Count = 1                              # a whole number, at least 1
            distance: Literal["euclidean", "cosine"] = "cosine"

The docstring of a `Config` says under `Attributes:` what each option means. A user's options are a mapping, such as
`{"neighbours": 3}`; `Nearest.Config.given` makes a `Config` of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType, NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from task_suites.core.errors import UserError, nearest
from task_suites.core.idle import defaults_of, refuse_values
from task_suites.core.ranges import Range, check_ranges, what_it_means
from task_suites.core.values import PLAIN

ReadUnless = Mapping[str, tuple[str, Any]]
Given = TypeVar("Given", bound="Options")
WORDS: Mapping[Any, str] = {**PLAIN, NoneType: "null", list: "a list", dict: "a mapping"}


@dataclass(frozen=True)
class Options:
    """The options of a method. A field with `init=False` is not an option.

    Attributes:
        read_unless: option -> (another option, the value of that one with which the first is not read).
    """

    read_unless: ClassVar[ReadUnless] = MappingProxyType({})

    def __post_init__(self) -> None:
        owner = type(self).__qualname__.removesuffix(".Config").rpartition(".")[2]
        for name, kind in option_types(type(self)).items():
            if not fits(value := getattr(self, name), kind):
                wrong = f"{owner}.{name} must be {described(kind)}, but is {value!r}"
                raise UserError(wrong, fix=what_it_means(self, name))
        check_ranges(self, f"{owner}.")

    @classmethod
    def given(cls: type[Given], method: str, options: Mapping[str, Any]) -> Given:
        """Return the options as a user gives them, with the defaults of all others.

        Args:
            method: the name of the method, for errors.

        Raises:
            UserError: an unknown option, one that is missing, or a value of the wrong type or outside of its range.
        """
        known = option_types(cls)
        for name in options:
            if name not in known:
                fix = nearest(name, known) if known else "It has no options."
                raise UserError(f"method {method} has no option {name!r}", fix=fix)
        if missing := [name for name in known if name not in options and name not in defaults_of(cls)]:
            raise UserError(f"method {method} needs the option {missing[0]!r}", fix="Give it in method_options.")
        return cls(**options)

    def to_dict(self) -> dict[str, Any]:
        """Return the value of every option. One that JSON cannot hold is left out: only the class knows it."""
        return {name: value for name in option_types(type(self)) if _is_plain(value := getattr(self, name))}

    def check_idle(self, method: str) -> None:
        """Raise where an option was given that the value of another option keeps from being read (`read_unless`).

        Raises:
            UserError: names the option.
        """
        defaults = defaults_of(self)
        for name, (switch, off) in self.read_unless.items():
            if getattr(self, switch) == off and (value := getattr(self, name)) != defaults.get(name):
                refuse_values({name: value}, f"another {switch} than {off!r}", f"option {method}.")


def option_types(config: type[Options]) -> dict[str, Any]:
    """Return the type of every option, by name."""
    hints = get_type_hints(config, include_extras=True)
    return {field.name: hints[field.name] for field in fields(config) if field.init}


def fits(value: Any, kind: Any) -> bool:
    """Return whether a value is of a type. Numbers with a `Range` are left to `check_ranges`, and what a list or a
    mapping holds to the method."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return any(isinstance(part, Range) for part in parts) or fits(value, parts[0])
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return any(value == part and type(value) is type(part) for part in parts)
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    wanted = origin or kind
    return wanted is Any or not isinstance(wanted, type) or isinstance(value, wanted)


def described(kind: Any) -> str:
    """Return the values that a type allows, in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        ranges = [str(part) for part in parts if isinstance(part, Range)]
        return ", ".join([described(parts[0]), *(text for text in ranges if text != "finite")])
    if origin in (Union, UnionType):
        words = [described(part) for part in parts]
        return (", or " if any("," in word for word in words) else " or ").join(words)
    if origin is Literal:
        return " or ".join(str(part).lower() if isinstance(part, bool) else repr(part) for part in parts)
    return WORDS.get(origin or kind) or str(getattr(kind, "__name__", kind))


def _is_plain(value: Any) -> bool:
    """Return whether JSON gives the value back as it is."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
