"""What the metrics compute, and that they need neither the network nor a slow import."""

import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval import metrics
from eval.metrics import FUNCTIONS, closest, normalise, right, score
from task_suites.core.errors import UserError
from task_suites.task import METRICS


def test_every_metric_of_the_tasks_is_there():
    assert set(FUNCTIONS) == set(METRICS)


def test_accuracy_is_the_share_of_equal_answers():
    assert score("accuracy", ["a", "b", "c", "c"], ["a", "b", "c", "d"]) == 0.75
    assert score("accuracy", ["A"], ["a"]) == 0.0


def test_macro_f1_weighs_classes_alike():
    # a: precision 2/3, recall 1, F1 0.8; b: precision 1, recall 1/2, F1 2/3
    assert score("macro_f1", ["a", "a", "a", "b"], ["a", "a", "b", "b"]) == pytest.approx((0.8 + 2 / 3) / 2)


def test_macro_f1_counts_a_class_that_is_only_predicted():
    assert score("macro_f1", ["a", "c"], ["a", "a"]) == pytest.approx((2 / 3 + 0) / 2)


def test_exact_match_ignores_case_articles_punctuation_and_blanks():
    assert normalise(" The  Cat's\tan 'owl'! ") == "cats owl"
    assert score("exact_match", ["The Cat.", "a dog"], ["cat", "dogs"]) == 0.5


def test_rouge_l_follows_the_longest_common_subsequence():
    # police killed the gunman / police kill the gunman (Lin 2004): LCS 3 of 4 and 4
    assert score("rouge_l", ["police kill the gunman"], ["police killed the gunman"]) == pytest.approx(0.75)
    assert score("rouge_l", ["", "same words"], ["some words", "same words"]) == pytest.approx(0.5)


def test_rouge_l_equals_the_package_on_ascii_text():
    from rouge_score.rouge_scorer import RougeScorer

    prediction, reference = "It's 3.5 m_long, isn't it? yes-no", "it is 3 m long isn t it yes"
    expected = RougeScorer(["rougeL"]).score(reference, prediction)["rougeL"].fmeasure
    plain = prediction.replace("_", " ")
    assert score("rouge_l", [plain], [reference]) == pytest.approx(expected)


def test_rouge_l_reads_other_scripts():
    assert score("rouge_l", ["привет мир"], ["привет мир"]) == 1.0


def test_span_f1_needs_type_start_and_end():
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-ORG"]]
    given = [["B-PER", "I-PER", "O", "B-ORG"], ["B-ORG", "I-ORG"]]
    assert score("span_f1", given, truth) == pytest.approx(1 / 3)  # one of three predicted, one of three true


def test_span_f1_takes_an_inside_tag_as_the_opening_of_a_span():
    assert score("span_f1", [["O", "I-LOC"]], [["O", "B-LOC"]]) == 1.0


def test_span_f1_of_sentences_without_spans():
    assert score("span_f1", [["O", "O"]], [["O", "O"]]) == 1.0
    assert score("span_f1", [["O", "O"]], [["O", "B-LOC"]]) == 0.0
    assert score("span_f1", [["B-LOC", "O"]], [["O", "O"]]) == 0.0


@pytest.mark.parametrize(
    ("metric", "expected"),
    [("accuracy", 0.5), ("exact_match", 0.75), ("rouge_l", (1 + 1 + 0.5 + 1) / 4)],
)
def test_the_best_of_all_right_answers_counts(metric, expected):
    predictions, references = ["hooves", "geese", "red boat", "The Cat"], ["hoofs", "geese", "blue ship", "dog"]
    accepted = [("hooves",), (), ("green boat", "x"), ("cow", "a cat")]
    if metric == "rouge_l":
        accepted[3] = ("the cat",)
    assert score(metric, predictions, references, accepted) == pytest.approx(expected)


def test_an_accepted_answer_is_a_hit_of_the_class_that_was_predicted():
    assert score("macro_f1", ["a", "b"], ["b", "b"], [("a",), ()]) == 1.0
    assert score("macro_f1", ["a", "b"], ["b", "b"], [(), ("a",)]) == score("macro_f1", ["a", "b"], ["b", "b"]) < 1.0


@given(metric=st.sampled_from(["accuracy", "exact_match", "rouge_l"]), data=st.data())
def test_more_right_answers_never_lower_a_score_and_their_order_is_free(metric, data):
    text = st.sampled_from(["a cat", "the cat", "cat sat", "dog", "dogs sat down"])
    n = data.draw(st.integers(1, 4))
    predictions, references = (data.draw(st.lists(text, min_size=n, max_size=n)) for _ in "pr")
    accepted = data.draw(st.lists(st.lists(text, max_size=3), min_size=n, max_size=n))
    value = score(metric, predictions, references, accepted)
    assert value >= score(metric, predictions, references)
    assert value == score(metric, predictions, references, [list(reversed(a)) for a in accepted])
    chosen = [closest(metric, *of) for of in zip(predictions, references, accepted, strict=True)]
    assert value == score(metric, predictions, chosen)


def test_accepted_answers_for_some_queries_only_are_refused():
    with pytest.raises(UserError) as error:
        score("accuracy", ["a", "b"], ["a", "b"], [()])
    found = "1 lists of accepted answers and 2 references"
    assert str(error.value) == f"accuracy: accepted answers differ in number; found {found}; expected a list for each"


def test_an_unknown_metric_names_the_nearest():
    with pytest.raises(UserError, match="Did you mean macro_f1"):
        score("macrof1", ["a"], ["a"])


REFUSED = [
    ("accuracy", [], [], "accuracy: no predictions; expected at least one"),
    (
        *("accuracy", ["a"], ["a", "b"]),
        "accuracy: predictions and references differ in number; found 1 predictions and 2 references; "
        "expected one prediction for each reference",
    ),
    ("macro_f1", ["a", None], ["a", "b"], "macro_f1: prediction 2 has the wrong form; found None; expected a text"),
    ("accuracy", ["a"], [["a"]], "accuracy: reference 1 has the wrong form; found ['a']; expected a text"),
    (
        *("span_f1", [["O"], "B-LOC"], [["O"], ["B-LOC"]]),
        "span_f1: prediction 2 has the wrong form; found 'B-LOC'; expected a list of BIO tags",
    ),
    (
        *("span_f1", [["O"], ["O"]], [["O"], ["O", "O"]]),
        "span_f1: sentence 2 has tag lists of two lengths; found 1 predicted and 2 reference tags; "
        "expected one tag a token",
    ),
]


@pytest.mark.parametrize(("metric", "predictions", "references", "message"), REFUSED)
def test_wrong_input_is_refused_with_what_was_found_and_what_is_expected(metric, predictions, references, message):
    with pytest.raises(UserError) as error:
        score(metric, predictions, references)
    assert str(error.value) == message


@pytest.mark.parametrize("metric", FUNCTIONS)
def test_a_metric_on_lists_of_two_lengths_is_an_error_without_the_check_of_score(metric):
    item = ["O"] if metric == "span_f1" else "a"
    for lengths in ((1, 2), (2, 1)):
        with pytest.raises(ValueError):
            FUNCTIONS[metric](*([item] * n for n in lengths))


def test_right_is_equality_except_for_free_text():
    assert right("accuracy", "a", "a") and not right("accuracy", "A", "a")
    assert right("exact_match", "The cat.", "cat") and right("rouge_l", "Cat", "cat")
    assert right("span_f1", ["O"], ["O"]) and not right("span_f1", ["O"], ["B-X"])


def test_importing_the_module_imports_no_heavy_library():
    code = (
        "import sys, eval.metrics; print([m for m in ('evaluate', 'datasets', 'sklearn', 'torch') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def test_an_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match="BLEU"):
        metrics.BLEU  # noqa: B018


@pytest.mark.parametrize(
    ("name", "key", "predictions", "references"),
    [
        ("Accuracy", "accuracy", ["a", "b"], ["a", "c"]),
        ("MacroF1", "macro_f1", ["a", "b"], ["a", "c"]),
        ("ExactMatch", "exact_match", ["The a", "b"], ["a", "c"]),
        ("RougeL", "rouge_l", ["one two", "b"], ["one three", "b"]),
        ("SpanF1", "span_f1", [["B-X", "O"], ["O"]], [["B-X", "O"], ["B-X"]]),
    ],
)
def test_evaluate_modules_agree_with_score_and_survive_pickle(name, key, predictions, references):
    module = pickle.loads(pickle.dumps(getattr(metrics, name)()))
    assert type(module) is getattr(metrics, name)
    expected = score(key, predictions, references)
    assert module.compute(predictions=predictions, references=references) == {key: pytest.approx(expected)}


def test_evaluate_modules_add_and_combine():
    import evaluate

    both = evaluate.combine([metrics.Accuracy(), metrics.MacroF1()])
    both.add(prediction="yes", reference="yes")
    both.add_batch(predictions=["no"], references=["yes"])
    assert both.compute() == {"accuracy": 0.5, "macro_f1": pytest.approx(1 / 3)}
