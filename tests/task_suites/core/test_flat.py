"""Options of nested configurations by flat names."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from task_suites.core.errors import UserError
from task_suites.core.flat import build, flat, options_of, section


@dataclass(frozen=True)
class Inner:
    """Inner settings.

    Attributes:
        k: how many.
        by: the key.
    """

    k: int = 4
    by: str = "task"

    def __post_init__(self) -> None:
        if self.k < 1:
            raise UserError(f"k must be 1 or more, but is {self.k}")


@dataclass(frozen=True)
class Outer:
    """Outer settings.

    Attributes:
        name: of the run.
        inner: how it draws.
    """

    name: str
    inner: Inner = section(Inner, before="draw_", k="shots")


def test_options_of_a_section_have_flat_names_and_come_after_the_own_ones():
    options = options_of(Outer)
    assert list(options) == ["name", "shots", "draw_by"]
    assert options["shots"].path == ("inner", "k") and options["shots"].group == "how it draws."
    assert options["draw_by"].about == "the key."


def test_a_configuration_is_built_from_flat_names_and_gives_them_back():
    made = build(Outer, {"name": "a", "shots": 16})
    assert made == Outer("a", Inner(16, "task"))
    assert flat(made) == {"name": "a", "shots": 16, "draw_by": "task"}
    assert build(Outer, flat(made)) == made


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"name": "a", "shot": 1}, "unknown option shot. Did you mean shots"),
        ({"shots": 1}, "name must be given. It means: of the run."),
        ({"name": "a", "shots": 0}, "^shots must be 1 or more, but is 0$"),
        ({"name": "a", "shots": "many"}, "^shots must be a whole number, but is 'many'"),
    ],
)
def test_an_error_names_the_flat_option(given, said):
    with pytest.raises(UserError, match=said):
        build(Outer, given)


def test_two_options_of_one_name_are_a_mistake_of_the_program():
    @dataclass(frozen=True)
    class Clash:
        """Clash."""

        k: int = 1
        inner: Inner = section(Inner)

    with pytest.raises(AssertionError, match="two options k"):
        options_of(Clash)
