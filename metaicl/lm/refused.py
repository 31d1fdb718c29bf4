"""What a quicker way of running a model raises where it knows that it does not serve that model."""

from __future__ import annotations


class Refused(Exception):
    """A quicker way does not serve this model; the message says why, as a clause about the model.

    It is the only exception that a choice between ways may catch: any other one is a bug, and has to be seen.
    """
