"""Intervals, tests and variances for scores on tasks and seeds (docs/statistics.md says which is for what)."""

from eval.statistics.intervals import Gain, Interval, gain_interval, mean_interval, task_means, worst_seed
from eval.statistics.tables import generator

__all__ = ["Gain", "Interval", "gain_interval", "generator", "mean_interval", "task_means", "worst_seed"]
