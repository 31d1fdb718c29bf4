"""One row of tokens as a transformers model takes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class ModelInputs:
    """A plain sequence, or a packed row, which has all of what follows the token ids.

    Attributes:
        ids: `[1, length]` token ids.
        positions: `[1, length]`; None in a plain sequence, where they count from 0.
        subtree_end: `[length]` (`Packed`); None in a plain sequence.
        attention: the arguments that say which tokens each token of a packed row sees.
        cache: the states of a prefix, to which those of the row are added; None where there is none.
    """

    ids: Tensor
    positions: Tensor | None = None
    subtree_end: Tensor | None = None
    attention: Mapping[str, Any] | None = None
    cache: Any = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the model's forward pass."""
        plain = {"input_ids": self.ids, "use_cache": self.cache is not None}
        if self.attention is None:
            return plain
        return {**plain, "position_ids": self.positions, "cache": self.cache, **self.attention}
