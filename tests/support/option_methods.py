"""A method with a few documented options."""

from __future__ import annotations

from dataclasses import dataclass

from metaicl.methods.base import Method
from metaicl.methods.baselines.chance import MajorityAnswer


class Parent(MajorityAnswer):
    @dataclass(frozen=True)
    class Config(Method.Config):
        """Some options.

        Attributes:
            rate: how fast it goes, which
                takes two lines to say.
            steps: how far it goes.
        """

        rate: float = 0.1
        steps: int = 3
        hidden: str = "x"
