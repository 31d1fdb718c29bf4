"""A clock that moves only when a job says so, and a method whose every pass takes seconds."""

from __future__ import annotations

from types import SimpleNamespace

import torch
from scripted import Scripted

import metaicl.training.estimate


class Clock:
    """Seconds that pass only by `spend`."""

    def __init__(self):
        self.now = 0.0

    def monotonic(self):
        return self.now

    def spend(self, seconds):
        self.now += seconds


def estimators_clock(monkeypatch) -> Clock:
    """Let the estimator look at a clock of a test's own."""
    made = Clock()
    monkeypatch.setattr(metaicl.training.estimate, "time", SimpleNamespace(monotonic=made.monotonic))
    return made


class Metered(Scripted):
    """A method whose every pass takes seconds by the size of its episode."""

    def __init__(self, clock, fixed, per_token=0.0):
        super().__init__()
        self.clock, self.fixed, self.per_token = clock, fixed, per_token
        self.weight = torch.nn.Parameter(torch.ones(1))

    def tokens(self, episode):
        return sum(len(e.text) for e in (*episode.support, *episode.queries))

    def forward(self, episodes):
        self.clock.spend(sum(self.fixed + self.per_token * self.tokens(e) for e in episodes))
        self.dropped += 1
        return self.weight.sum(), torch.tensor(1.0)

    def adapt(self, task, support):
        self.clock.spend(self.fixed)
        return super().adapt(task, support)
