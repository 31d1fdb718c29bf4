"""Trained adapters that ship with the package: a name for each, which stands for its folder. No torch here.

Such a folder is that of any trained method (`metaicl.training.checkpoint`): adapters, `method.json` with all that the
method was trained on, and a model card. It names its base model as the registry does, whatever machine it is on.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PLACE = Path(__file__).resolve().parents[1] / "released"


@dataclass(frozen=True)
class Released:
    """A trained method that ships with the package.

    Attributes:
        base: the registry model that its adapters were trained on.
    """

    name: str
    base: str
    licence: str
    description: str

    @property
    def folder(self) -> Path:
        return PLACE / self.name


RELEASED = {
    one.name: one
    for one in (
        Released(
            name="smollm2-135m-metaicl",
            base="smollm2-135m",
            licence="Apache-2.0",
            description="smollm2-135m meta-trained to classify from demonstrations: adapters, which ship with metaicl",
        ),
    )
}
METAICL = "smollm2-135m-metaicl"


def method_folder(name: str | Path) -> Path:
    """Return the folder that a name means where it is a trained method's: that of a released one, else the name as a
    path."""
    released = RELEASED.get(str(name))
    return released.folder if released else Path(name)
