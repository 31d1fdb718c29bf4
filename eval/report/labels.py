"""Where the names of dots stand in a figure: beside their dots, and not on each other, on a dot or on a line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

Point = tuple[float, float]
Position = tuple[float, float, str]
WIDE = 0.58  # of a letter, in its height
POSITIONS: Sequence[Position] = (  # beside a dot: points to the right, points up, and which end of the name is there
    (5, 5, "left"), (-5, 5, "right"), (5, -11, "left"), (-5, -11, "right"), (8, -3, "left"), (-8, -3, "right"),
    (0, 9, "center"), (0, -15, "center"), (5, -21, "left"), (-5, -21, "right"), (5, 16, "left"), (-5, 16, "right"),
)  # fmt: skip
ON_NAME, OUTSIDE, ON_DOT, ON_LINE = 100.0, 50.0, 20.0, 1.0  # how bad a position is


@dataclass(frozen=True)
class Box:
    """A rectangle in points, from its lower left corner to its upper right one."""

    left: float
    low: float
    right: float
    high: float

    def meets(self, other: Box) -> bool:
        """Return whether two rectangles have a part in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.low < other.high and other.low < self.high

    def holds(self, point: Point) -> bool:
        """Return whether a point lies in it."""
        return self.left < point[0] < self.right and self.low < point[1] < self.high

    def lies_in(self, other: Box) -> bool:
        """Return whether another rectangle holds all of it."""
        return (
            self.left >= other.left and self.right <= other.right and self.low >= other.low and self.high <= other.high
        )


def boxed(point: Point, position: Position, text: str, size: float) -> Box:
    """Return the rectangle that a name takes."""
    wide = WIDE * size * len(text)
    left = point[0] + position[0] - {"left": 0.0, "center": wide / 2, "right": wide}[position[2]]
    low = point[1] + position[1]
    return Box(left, low - 0.25 * size, left + wide, low + 0.8 * size)


def placed(
    dots: Sequence[Point], names: Sequence[str], lines: Sequence[Point], within: Box, size: float
) -> list[Position]:
    """Return for each name the first of `POSITIONS` that is free, or the least bad one.

    Args:
        dots: of each name, in points; further dots without a name may follow.
        lines: points on the lines of the figure, close to each other.
        within: where names may stand.
        size: of the letters.
    """
    taken: list[Box] = []
    found = []
    for dot, name in zip(dots, names, strict=False):

        def badness(position: Position, dot: Point = dot, name: str = name) -> float:
            box = boxed(dot, position, name, size)
            names_hit = sum(box.meets(other) for other in taken)
            outside = not box.lies_in(within)
            on_dots, on_lines = sum(map(box.holds, dots)), sum(map(box.holds, lines))
            return ON_NAME * names_hit + OUTSIDE * outside + ON_DOT * on_dots + ON_LINE * on_lines

        best = min(POSITIONS, key=badness)
        taken.append(boxed(dot, best, name, size))
        found.append(best)
    return found


def name_dots(
    axes: Any, dots: Sequence[Point], names: Sequence[str], colours: Sequence[str], line: Sequence[Point]
) -> None:
    """Write names beside dots of an axes whose limits are set.

    Args:
        dots: in data; those with a name first.
        line: the corners of a line, in data.
    """
    figure, size = axes.figure, 8.0
    scale = 72 / figure.dpi
    axes.get_xlim(), axes.get_ylim()  # margins are added where the limits are read

    def in_points(points: Sequence[Point]) -> list[Point]:
        return [(float(x) * scale, float(y) * scale) for x, y in axes.transData.transform(points)] if points else []

    corners, on_line = in_points(line), []
    for (x, y), (to_x, to_y) in pairwise(corners):
        on_line += [(x + (to_x - x) * i / 60, y + (to_y - y) * i / 60) for i in range(61)]
    wide, high = (float(72 * inches) for inches in figure.get_size_inches())
    room = axes.get_position()
    within = Box(room.x0 * wide, room.y0 * high, wide, high)
    positions = placed(in_points(dots), names, on_line, within, size)
    for dot, name, paint, (right, up, end) in zip(dots, names, colours, positions, strict=False):
        axes.annotate(name, dot, xytext=(right, up), textcoords="offset points", ha=end, fontsize=size, color=paint)
