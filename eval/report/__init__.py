"""The report of a comparison, and that of the benchmark of methods."""

from typing import Literal

Format = Literal["html", "markdown", "csv", "latex"]
