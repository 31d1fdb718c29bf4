"""Whether a progress bar is drawn: on a terminal and in a notebook, not into a file."""

from __future__ import annotations

import sys


def no_bar(wanted: bool) -> bool:
    """Return whether to draw no bar: it is not wanted, or standard error is a file, which each redrawing would fill."""
    return not wanted or not (sys.stderr.isatty() or "ipykernel" in sys.modules)
