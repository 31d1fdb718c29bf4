"""How the report's figures are drawn: as inline SVG without colours of their own; the page's style sheet supplies them.

matplotlib knows fixed colours only, so it draws in stand-in colours that are then replaced by CSS variables
(``--ink``, ``--faint``, ``--series-0`` ...). One drawing thus serves light and dark, and its text stays text in the
page's font. Each figure is `WIDTH` inches wide and so stays readable on a phone; the page lays them side by side where
there is room.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Sequence
from typing import Any

import matplotlib

SERIES = 7  # colours that stay apart for colour-blind readers; the style sheet defines as many
WIDTH = 5.2
INK, FAINT = "#010101", "#020202"
_CSS = {INK: "var(--ink)", FAINT: "var(--faint)"} | {f"#f1000{i}": f"var(--series-{i})" for i in range(SERIES)}
MARKERS = "osD^vPX"
STYLE: Any = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # names may hold a dollar sign
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": FAINT,
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
}


def colour(series: int) -> str:
    """Return the stand-in of a series colour."""
    return f"#f1000{series}"


def standalone(svg: str, style: str) -> str:
    """Return a figure as a file of its own, with the style sheet `style` that defines its colours."""
    own = "svg { background: var(--card); font-family: system-ui, sans-serif; }"
    head, body = svg.split(">", 1)
    head = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"', 1)
    return f"{head}>\n<style>{style}\n{own}</style>{body}\n"


def smoothed(values: Sequence[float]) -> list[float]:
    """Exponential moving average over about a fortieth of the values and at least five, corrected for its start."""
    keep = 1 - 1 / max(5, len(values) / 40)
    total = weight = 0.0
    out = []
    for value in values:
        if math.isfinite(value):
            total, weight = keep * total + value, keep * weight + 1
        out.append(total / weight if weight else math.nan)
    return out


def spread(places: dict[int, float], least: float) -> dict[int, float]:
    """Label heights moved apart to at least `least`, as near to their lines as an even push allows."""
    order = sorted(places, key=lambda s: places[s])
    moved = [places[s] for s in order]
    for _ in range(200):
        clashes = [i for i in range(len(moved) - 1) if moved[i + 1] - moved[i] < least - 1e-9]
        if not clashes:
            break
        for i in clashes:
            push = (least - (moved[i + 1] - moved[i])) / 2
            moved[i], moved[i + 1] = moved[i] - push, moved[i + 1] + push
    return dict(zip(order, moved, strict=True))


def short(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


def svg(figure: Any, title: str) -> str:
    """Return the figure as an `<svg>` element for use inside HTML: no prolog, no outside names, CSS variables as
    colours.

    The title becomes the element's accessible name; it also salts the ids, which must differ between figures of a page.
    """
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": title}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph")  # the page's font draws the text, not matplotlib's
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"<style.*?</style>| font-family: [^;]*;", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    for stand_in, variable in _CSS.items():
        text = text.replace(f": {stand_in}", f": {variable}")
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    name = title.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    return f'<svg {box.group()} role="img" aria-label="{name}">' + text[text.index(">") + 1 :].strip()
