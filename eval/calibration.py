"""Whether a method's probabilities can be believed: expected calibration error and Brier score of answers with options.

A query's probabilities are the softmax of its options' scores. What a score is differs between methods, so these
numbers judge the probabilities that a user gets, not how well a method ranks the options.

    ECE    sum over bins of (share of the answers in the bin) x |their accuracy - their mean confidence|, confidence
           being the answer's probability, in 15 bins of equal width (Guo et al. 2017, arXiv 1706.04599); 0 to 1
    Brier  mean over queries of the squared distance between the probabilities and the truth (Brier 1950); 0 to 2

With few answers ECE is too high, as each bin's accuracy has its own chance error: 40 answers of a perfectly calibrated
method have one of about 0.15. So the report pools the answers of all cells; compare methods only on the same queries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.special import softmax

from eval.cells import Prediction

BINS = 15


@dataclass(frozen=True)
class Bin:
    """The answers whose confidence lies in one bin: their mean confidence, their accuracy, and their share of all."""

    confidence: float
    accuracy: float
    share: float


@dataclass(frozen=True)
class Calibration:
    """Of `n` answers: ECE, Brier score, mean confidence and accuracy (above it where the method is under-confident),
    and the bins of the reliability curve that hold an answer."""

    n: int
    ece: float
    brier: float
    confidence: float
    accuracy: float
    bins: tuple[Bin, ...] = ()


def calibration(predictions: Iterable[Prediction]) -> Calibration | None:
    """Return the calibration of answered queries.

    Answers without scores (text, tags) take no part; None where none is left. Queries may differ in the number of their
    options, which scikit-learn's `brier_score_loss` does not allow; where they do not, it gives the same value.
    """
    rows = [_judged(one) for one in predictions if one.options and one.scores]
    if not rows:
        return None
    confidence, right, brier = (np.array(column, dtype=float) for column in zip(*rows, strict=True))
    return Calibration(
        len(rows),
        expected_calibration_error(confidence, right),
        float(brier.mean()),
        float(confidence.mean()),
        float(right.mean()),
        reliability(confidence, right),
    )


def _judged(prediction: Prediction) -> tuple[float, bool, float]:
    """Return (confidence, whether right, squared distance) of one answer; ties go to the first option."""
    probabilities = softmax(np.asarray(prediction.scores, dtype=float))
    truth = list(prediction.options or ()).index(str(prediction.truth))
    best = int(probabilities.argmax())
    distance = np.square(probabilities).sum() - 2 * probabilities[truth] + 1
    return float(probabilities[best]), best == truth, float(distance)


def expected_calibration_error(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> float:
    """ECE from the answers' probabilities `[n]` and whether they are right `[n]`; a bin holds its upper edge."""
    return sum(b.share * abs(b.accuracy - b.confidence) for b in reliability(confidence, right, bins))


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> tuple[Bin, ...]:
    """Return the bins that hold an answer, of `bins` of equal width, from the answers' probabilities `[n]` and whether
    they are right `[n]`."""
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    members = [place == number for number in np.unique(place)]
    return tuple(Bin(float(confidence[m].mean()), float(right[m].mean()), float(m.mean())) for m in members)
