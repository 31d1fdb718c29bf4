"""Intervals, tests and variances for scores on tasks and seeds (docs/statistics.md says which is for what)."""

from eval.statistics.comparison import Pair, Practical, Ranks, compared, holm, ranks, signed_rank
from eval.statistics.intervals import Gain, Interval, gain_interval, mean_interval, task_means, worst_seed
from eval.statistics.tables import generator
from eval.statistics.variance import Need, Variance, needed, variance

__all__ = [
    "Gain",
    "Interval",
    "Need",
    "Pair",
    "Practical",
    "Ranks",
    "Variance",
    "compared",
    "gain_interval",
    "generator",
    "holm",
    "mean_interval",
    "needed",
    "ranks",
    "signed_rank",
    "task_means",
    "variance",
    "worst_seed",
]
