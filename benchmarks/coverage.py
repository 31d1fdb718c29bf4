"""How often nominal 95 % intervals hold the true mean, for few and for many tasks.

    python benchmarks/coverage.py                # 3,000 simulated comparisons for each number, ten minutes
    python benchmarks/coverage.py --rounds 100   # a quick look

Cells are simulated with the variances of `results/benchmark`: tasks whose true scores have a standard deviation of 21
points (mean 45), gains with one of 13 points; three support sets a task, which move a score by 5 points; 40 queries a
cell, each right or wrong. A comparison is counted as covered where the interval holds the population's mean.

    scores     means of one method, `eval.statistics.mean_interval`
    gains      paired gains of two methods, normal over tasks
    skewed     paired gains with a skewness of 1: most tasks gain little, a few gain much
    trainings  gains of a method with three trainings, which move all its scores together by 2 points

Beside them stand the intervals that were considered instead: percentile, BCa and studentized bootstrap over tasks. The
last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
from scipy import stats

from eval.cells import Cell
from eval.statistics import mean_interval

TASKS = (6, 10, 30)
SEEDS, QUERIES, RUNS = 3, 40, 3
SUPPORT_SD, GAIN_SD, RUN_SD = 0.05, 0.13, 0.02
BETA = (2.08, 2.54)  # of the tasks' true scores: mean 0.45, standard deviation 0.21
RESAMPLES = 1000
Interval = tuple[float, float]
Draw = Callable[[np.random.Generator, int], np.ndarray]  # scores [tasks, seeds, runs]


def scores(rng: np.random.Generator, tasks: int) -> np.ndarray:
    """Accuracies of one method."""
    truth = rng.beta(*BETA, size=(tasks, 1, 1)) + rng.normal(0, SUPPORT_SD, size=(tasks, SEEDS, 1))
    return rng.binomial(QUERIES, truth.clip(0, 1)) / QUERIES


def gains(rng: np.random.Generator, tasks: int, skewness: float = 0.0, runs: int = 1) -> np.ndarray:
    """Gains of one method over another, moved from [-1, 1] to [0, 1]: coverage does not change by that."""
    if skewness:
        shape = 4 / skewness**2
        effects = (rng.gamma(shape, size=tasks) - shape) / np.sqrt(shape)
    else:
        effects = rng.normal(size=tasks)
    noise = np.sqrt(2 * (SUPPORT_SD**2 + 0.7 * 0.25 / QUERIES))  # both sides answer the same queries
    found = GAIN_SD * effects[:, None, None] + rng.normal(0, noise, size=(tasks, SEEDS, 1))
    if runs > 1:
        found = found + rng.normal(0, RUN_SD, size=runs) + rng.normal(0, 0.03, size=(tasks, SEEDS, runs))
    return ((1 + found) / 2).clip(0, 1)


DRAWS: dict[str, Draw] = {
    "scores": scores,
    "gains": gains,
    "skewed": lambda rng, tasks: gains(rng, tasks, skewness=1.0),
    "trainings": lambda rng, tasks: gains(rng, tasks, runs=RUNS),
}


def ours(drawn: np.ndarray) -> Interval:
    """The interval of the report, from cells."""
    several = drawn.shape[2] > 1
    cells = [
        Cell("m", f"task{t}", s, 16, float(value), run=f"run{r}" if several else None)
        for (t, s, r), value in np.ndenumerate(drawn)
    ]
    found = mean_interval(cells)
    return found.low / 100, found.high / 100


def percentile(drawn: np.ndarray, rng: np.random.Generator) -> Interval:
    """The two-stage percentile bootstrap: tasks, then seeds inside each."""
    values = drawn.mean(axis=2)
    tasks, seeds = values.shape
    picked = rng.integers(tasks, size=(RESAMPLES, tasks, 1)), rng.integers(seeds, size=(RESAMPLES, tasks, seeds))
    low, high = np.percentile(values[picked].mean(axis=(1, 2)), [2.5, 97.5])
    return low, high


def bca(drawn: np.ndarray, rng: np.random.Generator) -> Interval:
    """SciPy's bias-corrected and accelerated bootstrap of the tasks' means."""
    means = drawn.mean(axis=(1, 2))
    found = stats.bootstrap((means,), np.mean, n_resamples=RESAMPLES, method="BCa", rng=rng).confidence_interval
    return found.low, found.high


def studentized(drawn: np.ndarray, rng: np.random.Generator) -> Interval:
    """The bootstrap-t interval over the tasks' means."""
    means = drawn.mean(axis=(1, 2))
    picked = means[rng.integers(len(means), size=(RESAMPLES, len(means)))]
    spread = picked.std(axis=1, ddof=1)
    known = spread > 1e-12
    low, high = np.percentile((picked.mean(axis=1)[known] - means.mean()) / spread[known], [2.5, 97.5])
    return means.mean() - high * means.std(ddof=1), means.mean() - low * means.std(ddof=1)


def truth(draw: Draw) -> float:
    """The population's mean: that of very many tasks; several draws, as trainings are few in each."""
    rng = np.random.default_rng(0)
    return 0.5 if draw is not scores else float(np.mean([scores(rng, 100_000).mean() for _ in range(10)]))


def covered(draw: Draw, tasks: int, rounds: int, make: Callable[[np.ndarray], Interval]) -> tuple[float, float]:
    """Of simulated comparisons: the percentage of intervals that hold the truth, and their mean width in points."""
    rng, centre, hits, width = np.random.default_rng(tasks), truth(draw), 0, 0.0
    points = 100 if draw is scores else 200  # a gain was halved
    for _ in range(rounds):
        low, high = make(draw(rng, tasks))
        hits += low <= centre <= high
        width += points * (high - low) / rounds
    return round(100 * hits / rounds, 1), round(width, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3000, help="simulated comparisons of each kind and size")
    rounds = parser.parse_args().rounds
    began, rng = time.monotonic(), np.random.default_rng(1)
    found: dict[str, dict[str, dict[int, float]]] = {}
    ways: dict[str, tuple[int, Callable[[np.ndarray], Interval]]] = {
        "coverage_pct": (rounds, ours),
        "percentile_pct": (rounds // 5, lambda drawn: percentile(drawn, rng)),
        "bca_pct": (rounds // 5, lambda drawn: bca(drawn, rng)),
        "studentized_pct": (rounds // 5, lambda drawn: studentized(drawn, rng)),
    }
    for name, draw in DRAWS.items():
        for way, (times, make) in ways.items():
            both = {tasks: covered(draw, tasks, times, make) for tasks in TASKS}
            found.setdefault(way, {})[name] = {tasks: share for tasks, (share, _) in both.items()}
            widths = ", ".join(f"{share} % ({width} points wide)" for share, width in both.values())
            print(f"{name:<10} {way.removesuffix('_pct'):<12} at {TASKS} tasks: {widths}", flush=True)
    line = {"benchmark": "coverage", "rounds": rounds, "seconds": round(time.monotonic() - began, 1), **found}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
