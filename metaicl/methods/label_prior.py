"""The label prior: how much a model favours each option whatever the query. Calibration subtracts it from the scores.

- "contextual": the log of the option's mean share for the content-free queries N/A, [MASK] and nothing (Zhao et al.
  2021, arXiv 2102.09690).
- "pmi": the option's score for an empty query (domain-conditional PMI, Holtzman et al. 2021, arXiv 2104.08315).
- "cross_fit": the log of the option's mean share where the demonstrations are the queries, less the log of its share of
  their answers. Each quarter of the demonstrations is scored given the other three, a single one given itself, and each
  option is counted once more than it is an answer. Options that not all demonstrations have, as in multiple choice, get
  the prior of "pmi" instead; in a channel prompt, which scores the query, they get none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from metaicl.methods.predictor import log_mean_share
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat

Calibration = Literal["none", "contextual", "pmi", "cross_fit"]
BLANKS: dict[Calibration, tuple[str, ...]] = {
    "none": (),
    "contextual": ("N/A", "[MASK]", ""),
    "pmi": ("",),
    "cross_fit": ("",),
}
FOLDS = 4  # the folds in which demonstrations are scored given the others: docs/experiments.md
ScoresGiven = Callable[[Sequence[Example], Sequence[Example]], list[np.ndarray]]  # (demonstrations, queries) to scores


def check_calibration(form: PromptFormat, calibration: Calibration) -> None:
    """Raise where the format does not allow a calibration.

    Raises:
        UserError: calibration by empty queries of a channel prompt, which scores the query itself.
    """
    if form.channel and calibration in ("contextual", "pmi"):
        raise UserError(
            f"calibration {calibration!r} scores empty queries, which a channel prompt cannot do",
            fix="Take calibration cross_fit or none, or the direct format.",
        )


def blank_queries(form: PromptFormat, calibration: Calibration, options: tuple[str, ...]) -> list[Example]:
    """Return the queries without content whose scores are the prior of these options."""
    return [] if form.channel else [Example(text, None, options) for text in BLANKS[calibration]]


def blank_prior(scores: Sequence[np.ndarray]) -> np.ndarray:
    """Return the prior `[options]` from the scores of `blank_queries`."""
    return scores[0] if len(scores) == 1 else log_mean_share(scores)


def crosses(calibration: Calibration, options: tuple[str, ...], demonstrations: Sequence[Example]) -> bool:
    """Return whether the prior of these options comes from the demonstrations."""
    return calibration == "cross_fit" and {e.options for e in demonstrations} == {options}


def cross_fitted_prior(demonstrations: Sequence[Example], scores_given: ScoresGiven) -> np.ndarray:
    """Return the prior `[options]` of the demonstrations' options by cross-fitting."""
    count = len(demonstrations)
    folds = min(FOLDS, count)
    found: list[np.ndarray] = []
    for fold in range(folds):
        start, stop = fold * count // folds, (fold + 1) * count // folds
        others = (*demonstrations[:start], *demonstrations[stop:]) or demonstrations
        found += scores_given(others, [e.hidden() for e in demonstrations[start:stop]])
    options = demonstrations[0].options or ()
    counted = np.array([1 + sum(e.output == option for e in demonstrations) for option in options])
    return log_mean_share(found) - np.log(counted / counted.sum())
