"""The scores beside a task's own metric, against hand-made values, the libraries and MetaICL's way of counting."""

import json
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pages import make

from eval.cells import Prediction
from eval.further_scores import OPTIONS, TEXT, chrf, further_scores, macro_f1_metaicl, mcc, token_f1
from eval.metrics import macro_f1, score
from eval.results import Results

labels = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from("abc")), min_size=1, max_size=20)


def answered(pairs, options=("a", "b")):
    return [Prediction(options=options, answer=answer, truth=truth) for answer, truth in pairs]


def by_precision_and_recall(predictions, references):
    """Macro-F1 over the classes of the references, each from its precision and recall."""
    precision, recall = defaultdict(list), defaultdict(list)
    for p, r in zip(predictions, references, strict=True):
        precision[p].append(p == r)
        recall[r].append(p == r)
    found = []
    for label, hits in recall.items():
        r = sum(hits) / len(hits)
        p = sum(precision[label]) / len(precision[label]) if label in precision else 1.0
        found.append(2 * p * r / (p + r) if p + r else 0.0)
    return sum(found) / len(found)


@given(labels)
def test_metaicls_macro_f1_is_the_mean_over_the_classes_of_the_references(pairs):
    predictions, references = zip(*pairs, strict=True)
    assert macro_f1_metaicl(predictions, references) == pytest.approx(by_precision_and_recall(predictions, references))
    assert macro_f1(predictions, references) <= macro_f1_metaicl(predictions, references) + 1e-12


def test_a_class_that_is_only_predicted_counts_in_the_plain_macro_f1_only():
    assert macro_f1(["a", "c"], ["a", "a"]) == pytest.approx(1 / 3)
    assert macro_f1_metaicl(["a", "c"], ["a", "a"]) == pytest.approx(2 / 3)


def test_mcc_is_the_correlation_of_two_classes():
    # 3 and 2 right of a, 1 and 1 wrong: (3 * 2 - 1 * 1) / sqrt(4 * 4 * 3 * 3)
    assert mcc(list("aaabbab"), list("aaaabbb")) == pytest.approx(5 / 12)
    assert mcc(["a", "b"], ["b", "a"]) == -1.0
    assert mcc(["a", "a"], ["a", "b"]) == 0.0 and mcc(["a"], ["a"]) == 0.0


def test_token_f1_counts_shared_words_as_squad_does():
    assert token_f1(["the red red fox"], ["a red fox, running"]) == pytest.approx(2 * 2 / 6)
    assert token_f1(["", "the", "fox"], ["", "fox", "the"]) == pytest.approx(1 / 3)


def test_chrf_is_sacrebleus():
    from sacrebleu import corpus_chrf

    given, truth = ["the cat sat", "a dog"], ["the cat sits", "some dogs"]
    assert chrf(given, truth) == pytest.approx(corpus_chrf(given, [truth]).score / 100)
    assert chrf(truth, truth) == pytest.approx(1.0)


@given(labels)
def test_scores_do_not_depend_on_the_order_of_queries(pairs):
    there, back = further_scores(answered(pairs)), further_scores(answered(pairs[::-1]))
    assert there == pytest.approx(back) and set(there) == set(OPTIONS)


def test_the_type_of_the_answers_chooses_the_scores():
    assert set(further_scores(answered([("x y", "x")], options=None))) == set(TEXT)
    tagged = answered([(["O", "B-X"], ["O", "B-X"]), (["O"], ["B-X"])], options=None)
    assert further_scores(tagged) == pytest.approx({"span_f1": 2 / 3, "accuracy": 2 / 3})
    assert further_scores([]) == {}


def test_the_own_metric_is_among_them_with_the_same_value():
    pairs = [("a", "a"), ("b", "a"), ("b", "b")]
    predictions, references = zip(*pairs, strict=True)
    found = further_scores(answered(pairs))
    assert all(found[name] == score(name, predictions, references) for name in ("accuracy", "macro_f1"))
    found = further_scores(answered(pairs, options=None))
    assert all(found[name] == score(name, predictions, references) for name in ("exact_match", "rouge_l"))


def test_a_cells_scores_are_written_read_and_columns(tmp_path):
    results = make(tmp_path)
    results["cells"][0]["scores"] = {"accuracy": 0.5, "mcc": -0.25}
    (tmp_path / "results.json").write_text(json.dumps(results))
    read = Results.load(tmp_path)
    assert (
        read.cells[0].scores == {"accuracy": 0.5, "mcc": -0.25} and read.to_json()["cells"][0]["scores"]["mcc"] == -0.25
    )
    frame = read.to_pandas()
    assert frame.loc[0, ["accuracy", "mcc"]].tolist() == [0.5, -0.25] and frame.accuracy.isna().sum() == len(frame) - 1
