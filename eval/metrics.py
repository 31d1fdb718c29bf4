"""The headline metrics of tasks: plain functions for the harness, and `evaluate.Metric` modules that need no network.

`score` is what the harness calls. The classes `Accuracy`, `MacroF1`, `ExactMatch`, `RougeL` and `SpanF1` are the same
functions with the interface of the `evaluate` library (`compute`, `add`, `add_batch`, `evaluate.combine`), for code
that speaks it; `evaluate.load("accuracy")` would fetch a script from the hub. They are attributes of this module but
are built on first access, because `import evaluate` takes five seconds (it imports transformers' pipelines).

The four metrics on texts have the same features, so they combine:

    evaluate.combine([Accuracy(), MacroF1()]).compute(predictions=["yes", "no"], references=["yes", "yes"])
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from task_suites.core.errors import UserError, nearest

Texts = Sequence[str]
Tags = Sequence[Sequence[str]]


def score(
    metric: str, predictions: Sequence[Any], references: Sequence[Any], accepted: Sequence[Texts] | None = None
) -> float:
    """Return a metric's value over all queries of one cell, in [0, 1].

    Calls the metric's function and not `evaluate.Metric.compute`: that writes the lists to an Arrow file and reads
    them back, 8 ms for 100 queries, after an import of 5 s; the value is the same.

    Args:
        metric: a name of `task_suites.task.METRICS`.
        predictions: the answers given, `[n]` texts; for ``span_f1``, `[n]` lists of BIO tags.
        references: the right answers, in the same order and form.
        accepted: further right answers, `[n]` lists of texts, mostly empty; each prediction is compared with the
            `closest` of its reference and these.

    Raises:
        UserError: an unknown metric, no predictions, lists that differ in length, items of the wrong form.
    """
    if metric not in FUNCTIONS:
        raise UserError(f"unknown metric {metric!r}", fix=nearest(metric, FUNCTIONS))
    _check(metric, predictions, references)
    if accepted is not None:
        if len(accepted) != len(references):
            found = f"{len(accepted)} lists of accepted answers and {len(references)} references"
            raise UserError(f"{metric}: accepted answers differ in number", found=found, expected="a list for each")
        references = [closest(metric, *of) for of in zip(predictions, references, accepted, strict=True)]
    return FUNCTIONS[metric](predictions, references)


def closest(metric: str, prediction: Any, reference: Any, accepted: Texts) -> Any:
    """Return the right answer that gives the prediction the highest score; the reference where none is better.

    With ``macro_f1`` that is an answer equal to the prediction, which so counts as a hit of the predicted class.
    """
    if not accepted:
        return reference
    one = FUNCTIONS["accuracy" if metric == "macro_f1" else metric]
    return max((reference, *accepted), key=lambda answer: one([prediction], [answer]))


def right(metric: str, answer: Any, truth: Any) -> bool:
    """Return whether one answer is wholly right: equal to the truth; after `normalise` where the metric is on free
    text."""
    if metric in ("exact_match", "rouge_l"):
        return normalise(str(answer)) == normalise(str(truth))
    return bool(answer == truth)


def accuracy(predictions: Texts, references: Texts) -> float:
    """Return the share of predictions that equal their reference."""
    return sum(p == r for p, r in zip(predictions, references, strict=True)) / len(references)


def macro_f1(predictions: Texts, references: Texts) -> float:
    """Return the unweighted mean of each class's F1 (scikit-learn, ``average="macro"``).

    The classes are those that occur among the references or the predictions, as is scikit-learn's default: a label
    that no query has and that is never predicted does not count; one that is only ever predicted counts with F1 = 0.
    """
    from sklearn.metrics import f1_score

    return float(f1_score(references, predictions, average="macro", zero_division=0.0))


def exact_match(predictions: Texts, references: Texts) -> float:
    """Return the share of predictions that equal their reference after `normalise`."""
    return accuracy([normalise(p) for p in predictions], [normalise(r) for r in references])


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, English articles and extra white space (Rajpurkar et al. 2016, SQuAD)."""
    text = text.lower().translate(str.maketrans("", "", string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def rouge_l(predictions: Texts, references: Texts) -> float:
    """Return the mean over queries of ROUGE-L's F-measure (Lin 2004), by the package rouge-score, without stemming.

    Words are runs of Unicode letters and digits. On ASCII text that is rouge-score's own rule; on other text its rule
    would leave nothing to compare (it keeps only a-z and 0-9).
    """
    scorer = _rouge_scorer()
    values = [scorer.score(r, p)["rougeL"].fmeasure for p, r in zip(predictions, references, strict=True)]
    return float(sum(values) / len(values))


def span_f1(predictions: Tags, references: Tags) -> float:
    """Return the micro-averaged F1 of typed spans over all sentences (seqeval's default, CoNLL-2000 evaluation).

    A span counts when type, start and end agree. An I- tag that continues nothing opens a span, as in
    `task_suites.formats.prompt_format.spans`. Where neither side has any span at all the value is 1.
    """
    from seqeval.metrics import f1_score

    return float(f1_score([list(r) for r in references], [list(p) for p in predictions], zero_division=1))


FUNCTIONS: dict[str, Callable[[Any, Any], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "exact_match": exact_match,
    "rouge_l": rouge_l,
    "span_f1": span_f1,
}
_CLASSES = {
    "Accuracy": "accuracy",
    "MacroF1": "macro_f1",
    "ExactMatch": "exact_match",
    "RougeL": "rouge_l",
    "SpanF1": "span_f1",
}


def __getattr__(name: str) -> Any:
    """Builds a metric class on first access; pickle finds the class by the same way (PEP 562)."""
    if name in _CLASSES:
        return _metric_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@cache
def _metric_class(name: str) -> type:
    import datasets  # type: ignore[import-untyped,unused-ignore]
    import evaluate  # type: ignore[import-untyped,unused-ignore]

    key = _CLASSES[name]
    function = FUNCTIONS[key]
    text = datasets.Value("string")
    form = datasets.Sequence(text) if key == "span_f1" else text

    def _info(self: Any) -> Any:
        return evaluate.MetricInfo(
            description=function.__doc__ or "",
            citation="",
            inputs_description=f"predictions, references: {'lists of BIO tags' if key == 'span_f1' else 'texts'}",
            features=datasets.Features({"predictions": form, "references": form}),
        )

    def _compute(self: Any, predictions: Any, references: Any) -> dict[str, float]:
        return {key: score(key, predictions, references)}

    body = {"_info": _info, "_compute": _compute, "__module__": __name__, "__doc__": function.__doc__}
    return type(name, (evaluate.Metric,), body)


@cache
def _rouge_scorer() -> Any:
    from rouge_score.rouge_scorer import RougeScorer  # type: ignore[import-untyped,unused-ignore]
    from rouge_score.tokenizers import Tokenizer  # type: ignore[import-untyped,unused-ignore]

    class Words(Tokenizer):  # type: ignore[misc]
        def tokenize(self, text: str) -> list[str]:
            return re.findall(r"[^\W_]+", text.lower())

    return RougeScorer(["rougeL"], tokenizer=Words())


def _check(metric: str, predictions: Sequence[Any], references: Sequence[Any]) -> None:
    if len(predictions) != len(references):
        raise UserError(
            f"{metric}: predictions and references differ in number",
            found=f"{len(predictions)} predictions and {len(references)} references",
            expected="one prediction for each reference",
        )
    if not len(predictions):
        raise UserError(f"{metric}: no predictions", expected="at least one")
    for side, items in (("prediction", predictions), ("reference", references)):
        for index, item in enumerate(items):
            if isinstance(item, str) == (metric == "span_f1") or item is None:
                expected = "a list of BIO tags" if metric == "span_f1" else "a text"
                raise UserError(f"{metric}: {side} {index + 1} has the wrong form", found=repr(item), expected=expected)
            if metric != "span_f1":
                continue
            if len(item) != len(references[index]):
                raise UserError(
                    f"{metric}: sentence {index + 1} has tag lists of two lengths",
                    found=f"{len(predictions[index])} predicted and {len(references[index])} reference tags",
                    expected="one tag a token",
                )
