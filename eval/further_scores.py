"""What else a cell's answers score, by their type, beside the task's own metric.

    options    accuracy, macro_f1, macro_f1_metaicl, mcc
    text       exact_match, token_f1, rouge_l, chrf
    tags       span_f1, accuracy (of single tokens)

Answers are compared with `Prediction.truth`: of several right answers, the one that the task's own metric preferred.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain

from eval.cells import Prediction
from eval.metrics import accuracy, exact_match, macro_f1, normalise, rouge_l, span_f1

Texts = Sequence[str]


def further_scores(predictions: Sequence[Prediction]) -> dict[str, float]:
    """Return the scores of one cell's answers by name, each from 0 to 1 but `mcc`, which is from -1 to 1.

    Without answers there are none.
    """
    if not predictions:
        return {}
    if all(isinstance(one.truth, str) for one in predictions):
        functions = OPTIONS if all(one.options for one in predictions) else TEXT
        given, truth = [str(one.answer or "") for one in predictions], [str(one.truth) for one in predictions]
        return {name: function(given, truth) for name, function in functions.items()}
    tags, right = [list(one.answer or ()) for one in predictions], [list(one.truth or ()) for one in predictions]
    return {"span_f1": span_f1(tags, right), "accuracy": accuracy([*chain(*tags)], [*chain(*right)])}


def macro_f1_metaicl(predictions: Texts, references: Texts) -> float:
    """Return macro-F1 as MetaICL computes it: the mean over the classes that occur among the references only.

    `macro_f1` counts a class that is only ever predicted with F1 = 0 and so is never higher.
    """
    from sklearn.metrics import f1_score

    labels = sorted(set(references))
    return float(f1_score(references, predictions, labels=labels, average="macro", zero_division=0.0))


def mcc(predictions: Texts, references: Texts) -> float:
    """Return Matthews' correlation coefficient (scikit-learn): 0 for answers that do not depend on the query."""
    from sklearn.metrics import matthews_corrcoef

    if len({*predictions, *references}) == 1:
        return 0.0  # scikit-learn's value, without its warning
    return float(matthews_corrcoef(references, predictions))


def token_f1(predictions: Texts, references: Texts) -> float:
    """Return the mean over queries of the F1 of the words after `normalise` (Rajpurkar et al. 2016, SQuAD)."""
    return sum(map(_words_f1, predictions, references)) / len(references)


def _words_f1(prediction: str, reference: str) -> float:
    given, truth = normalise(prediction).split(), normalise(reference).split()
    if not given or not truth:
        return float(given == truth)
    return 2 * (Counter(given) & Counter(truth)).total() / (len(given) + len(truth))


def chrf(predictions: Texts, references: Texts) -> float:
    """Return chrF2 over all queries together (Popović 2015), by sacrebleu."""
    from sacrebleu.metrics.chrf import CHRF

    return float(CHRF().corpus_score(list(predictions), [list(references)]).score) / 100


Functions = Mapping[str, Callable[[Texts, Texts], float]]
OPTIONS: Functions = {"accuracy": accuracy, "macro_f1": macro_f1, "macro_f1_metaicl": macro_f1_metaicl, "mcc": mcc}
TEXT: Functions = {"exact_match": exact_match, "token_f1": token_f1, "rouge_l": rouge_l, "chrf": chrf}
