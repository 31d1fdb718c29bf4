"""`FewShotClassifier` is a scikit-learn estimator: labels of any type, storage, model selection, and scikit-learn's own
checks."""

from __future__ import annotations

import copy
import io
import pickle
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest

import joblib
import numpy as np
import pandas as pd
import pytest
from backbones import tiny_config
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import estimator_checks_generator
from sklearn.utils.validation import validate_data

from examples import examples
from metaicl import FewShotClassifier
from metaicl.inference import opening
from metaicl.lm import tiny
from metaicl.methods import METHODS, method_class
from metaicl.methods.base import Method
from metaicl.methods.predictor import Predictor
from metaicl.training.checkpoint import MethodConfig, save_method
from task_suites.core.errors import UserError, UserTypeError
from task_suites.core.idle import defaults_of
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

TEXTS = ["a fig", "a saw", "a pear", "an axe", "a plum", "a drill"]
QUERIES = ["a lime", "a file", "a hammer"]
TOPICS = ["fruit", "tool"] * 3
SOURCE = "tiny-random"


class Echo(Method, Predictor):
    """Scores 1 for the option that the query spells out, and 0 for the others."""

    def adapt(self, task: Task, support: Sequence[Example]) -> Echo:
        return self

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        return [np.array([float(option == query.text) for option in query.options or ()]) for query in queries]


ECHO = f"{__name__}:Echo"


def trained(folder: Path, method: str = "protonet", seed: int = 0, **options: Any) -> Path:
    """The folder of a run with an untrained method on the tiny model."""
    config = MethodConfig(method, options, method_class(method).backbone_config(tiny_config()), PromptFormat())
    save_method(config.build(seed=seed), config, folder / "best")
    return folder


def answers(classifier: FewShotClassifier) -> tuple[list, np.ndarray]:
    return classifier.predict(QUERIES).tolist(), classifier.predict_proba(QUERIES)


def assert_same_answers(first: FewShotClassifier, second: FewShotClassifier) -> None:
    labels, probabilities = answers(first)
    assert answers(second)[0] == labels and np.array_equal(answers(second)[1], probabilities)
    assert second.classes_.dtype == first.classes_.dtype


# ---- labels ----------------------------------------------------------------------------------------------------------

words = st.text("abcdefgh 123", min_size=1, max_size=6).filter(lambda text: text == " ".join(text.split()) != "")
labels_of_a_type = st.one_of(
    st.lists(st.integers(-(2**62), 2**62), min_size=2, max_size=5, unique=True),
    st.just([False, True]),
    st.lists(words, min_size=2, max_size=5, unique=True),
    st.lists(st.integers(-99, 99).map(float), min_size=2, max_size=5, unique=True),
)
holders: list[Callable[[list], Any]] = [
    list,
    tuple,
    np.array,
    lambda labels: list(np.array(labels)),
    lambda labels: np.array(labels, dtype=object),
    lambda labels: pd.Series(labels, index=range(7, 7 + 3 * len(labels), 3)),
    lambda labels: pd.Series(labels).astype("category"),
    lambda labels: pd.Series(pd.array(labels)),
]


@examples(25)
@given(labels_of_a_type, st.sampled_from(holders), st.randoms(use_true_random=False))
def test_classes_are_sorted_and_predictions_are_the_labels_that_were_given(labels, held_as, random):
    given_labels = labels * 2
    random.shuffle(given_labels)
    classifier = FewShotClassifier(SOURCE, ECHO).fit(
        [f"text {i}" for i in range(len(given_labels))], held_as(given_labels)
    )
    assert classifier.classes_.tolist() == sorted(labels)
    assert {type(c) for c in classifier.classes_.tolist()} == {type(c) for c in labels}
    as_written = [str(int(c)) if isinstance(c, float) else str(c) for c in labels]
    assert classifier.predict(as_written).tolist() == labels
    assert classifier.predict(as_written).dtype == classifier.classes_.dtype
    best = classifier.predict_proba(as_written).argmax(1)
    assert [sorted(labels)[column] for column in best] == labels
    assert classifier.score(as_written, labels) == 1.0


@pytest.mark.parametrize("dtype", ["int8", "uint16", "int64", "bool", "float32", "U7", "object"])
def test_predictions_have_the_dtype_of_y(dtype):
    y = np.array([0, 1] * 3).astype("U7" if dtype == "object" else "int64").astype(dtype)
    classifier = FewShotClassifier(SOURCE, ECHO).fit(TEXTS, y)
    assert classifier.classes_.dtype == classifier.predict(QUERIES).dtype == classifier.predict([]).dtype == y.dtype


@pytest.mark.parametrize(
    ("labels", "kind", "message"),
    [
        (None, ValueError, "the target y is None"),
        ("abcdef", TypeError, "y is a single string"),
        (3, TypeError, "y is not a sequence of labels; found int"),
        ({"a": 1}, TypeError, "y is not a sequence of labels; found dict"),
        (["a", "b", None], TypeError, r"y\[2\] is not a label; found None"),
        (["a", float("nan"), "b"], TypeError, r"y\[1\] is not a label; found nan"),
        (pd.Series(["a", "b", None], index=[9, 8, 7]), TypeError, r"y\[2\] is not a label"),
        (pd.Series([1, None, 2], dtype="Int64"), TypeError, r"y\[1\] is not a label"),
        (np.array([0.0, np.inf, 1.0]), TypeError, r"y\[1\] is not a label; found inf"),
        ([0.0, 0.5, 1.0], ValueError, r"y\[1\] is a fraction; found 0\.5"),
        ([b"a", b"b", b"a"], TypeError, r"y\[0\] is not a label; found b'a'"),
        (np.array(["2020-01-01"] * 3, dtype="datetime64[D]"), TypeError, r"y\[0\] is not a label"),
        (["1", 1, 1], TypeError, r"mixes labels of different types; found y\[0\] is '1' and y\[1\] is 1"),
        ([True, 1, 0], TypeError, r"mixes labels of different types; found y\[0\] is True and y\[1\] is 1"),
        ([[1, 0], [0, 1], [1, 1]], ValueError, r"y\[0\] has several outputs"),
        (np.eye(3), ValueError, "y has several outputs; found 3 columns"),
        (pd.DataFrame({"a": [1, 2, 3], "b": [1, 2, 3]}), ValueError, "y has several outputs; found 2 columns"),
        (["yes", "Yes ", "no"], ValueError, r"two labels differ only by blanks or case; found \['Yes ', 'yes'\]"),
        (["yes", "n\no", "no"], ValueError, "a label has several lines"),
        (["yes", "n\u2028o", "no"], ValueError, "a label has several lines"),
        (["yes", "no\n", "yes"], ValueError, "a label has several lines"),
        (["yes", " ", "yes"], ValueError, "a label is empty"),
        (["yes", "\ud800", "yes"], ValueError, "not Unicode"),
        (["yes", "n\0o", "yes"], ValueError, "NUL character"),
        ([1, 1, 1], ValueError, "at least two classes; found 1 class, 1"),
        ([1, 2], ValueError, "found 3 texts and 2 labels"),
    ],
    ids=repr,
)
def test_labels_that_cannot_be_classes_are_refused(labels, kind, message):
    with pytest.raises(kind, match=message) as refusal:
        FewShotClassifier(SOURCE, ECHO).fit(TEXTS[:3], labels)
    assert isinstance(refusal.value, UserError)


def test_one_column_of_labels_is_taken_with_scikit_learns_warning():
    with pytest.warns(DataConversionWarning):
        classifier = FewShotClassifier(SOURCE, ECHO).fit(TEXTS, pd.DataFrame({"label": [0, 1] * 3}))
    assert classifier.classes_.tolist() == [0, 1]


# ---- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "kind", "message"),
    [
        ("a fig", TypeError, "X is a single string"),
        (np.array("a fig"), ValueError, "X has 0 dimensions"),
        (None, TypeError, "X is not a sequence of texts; found NoneType"),
        ({"text": "a fig"}, TypeError, "X is not a sequence of texts; found dict"),
        (["a fig", None], TypeError, r"X\[1\] is not a text; found None"),
        (["a fig", float("nan")], TypeError, r"X\[1\] is not a text; found nan"),
        (["a fig", "a saw", 3], TypeError, r"X\[2\] is not a text; found 3 \(int\)"),
        ([["a fig"], ["a saw"]], TypeError, r"X\[0\] is not a text"),
        (pd.Series(["a fig", None], index=[5, 3]), TypeError, r"X\[1\] is not a text"),
        (np.arange(2), TypeError, r"X\[0\] is not a text; found"),
        (pd.DataFrame({"text": ["a fig"], "id": [1]}), ValueError, r"X has 2 dimensions; found shape \(1, 2\)"),
        (np.array([["a fig"]]), ValueError, r"X has 2 dimensions; found shape \(1, 1\)"),
        (["a fig", " \n"], ValueError, r"X\[1\] is empty"),
        (["a \ud800"], ValueError, r"X\[0\] is not Unicode"),
    ],
    ids=repr,
)
def test_what_is_not_a_list_of_texts_is_refused_in_fit_and_predict(texts, kind, message):
    fitted = FewShotClassifier(SOURCE, ECHO).fit(TEXTS, TOPICS)
    for call in (fitted.predict, fitted.predict_proba, lambda X: FewShotClassifier(SOURCE, ECHO).fit(X, TOPICS)):
        with pytest.raises(kind, match=message) as refusal:
            call(texts)
        assert isinstance(refusal.value, UserError)


def test_rows_are_matched_by_position_whatever_their_index():
    plain = FewShotClassifier(SOURCE, "knn").fit(TEXTS, TOPICS)
    texts = pd.Series(TEXTS, index=[9, 2, 7, 0, 5, 1])
    labels = pd.Series(TOPICS, index=[0, 1, 2, 5, 7, 9])
    by_pandas = FewShotClassifier(SOURCE, "knn").fit(texts, labels)
    assert np.array_equal(answers(plain)[1], answers(by_pandas)[1])
    queries = pd.Series(QUERIES, index=[4, 0, 2])
    assert by_pandas.predict(queries).tolist() == plain.predict(np.array(QUERIES)).tolist()
    assert plain.predict(iter(QUERIES)).tolist() == plain.predict(QUERIES).tolist()


@pytest.mark.parametrize("nothing", [[], np.array([]), pd.Series([], dtype=str)], ids=["list", "array", "series"])
def test_no_texts_get_no_answers(nothing):
    for classes in (2, 3):
        classifier = FewShotClassifier(SOURCE, "knn").fit(TEXTS, [i % classes for i in range(6)])
        assert classifier.predict(nothing).shape == (0,) and classifier.predict(nothing).dtype == np.int64
        assert classifier.predict_proba(nothing).shape == (0, classes)
        assert classifier.decision_function(nothing).shape == ((0,) if classes == 2 else (0, classes))


# ---- fitting, parameters ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["predict", "predict_proba", "predict_log_proba", "decision_function"])
def test_an_unfitted_classifier_says_so(call):
    with pytest.raises(NotFittedError):
        getattr(FewShotClassifier(SOURCE), call)(QUERIES)


def test_parameters_take_effect_at_the_next_fit(tmp_path):
    classifier = FewShotClassifier(SOURCE, "icl").fit(TEXTS, TOPICS)
    before = answers(classifier)
    run = trained(tmp_path / "run")
    classifier.set_params(model=run, method=None)
    assert np.array_equal(answers(classifier)[1], before[1])
    assert_same_answers(pickle.loads(pickle.dumps(classifier)), classifier)
    classifier.fit(TEXTS, TOPICS)
    assert_same_answers(classifier, FewShotClassifier(str(run)).fit(TEXTS, TOPICS))
    assert not np.array_equal(answers(classifier)[1], before[1])


@pytest.mark.parametrize(
    ("texts", "labels", "message"),
    [
        (["a fig"], [None], "is not a label"),
        (["a fig", "a saw"], [0, 0], "at least two classes"),
        (["a fig " * 6000, "a saw"], ["new", "tool"], "does not fit the model's context"),
    ],
    ids=["label", "class", "length"],
)
def test_a_refused_fit_leaves_the_classifier_as_it_was(texts, labels, message):
    classifier = FewShotClassifier(SOURCE, "icl").fit(TEXTS, TOPICS)
    before = answers(classifier)
    with pytest.raises(UserError, match=message):
        classifier.fit(texts, labels)
    assert classifier.classes_.tolist() == TOPICS[:2] and np.array_equal(answers(classifier)[1], before[1])


@pytest.mark.parametrize("changed", [{"model": 3}, {"method": 3}, {"instruction": None}, {"random_state": "x"}])
def test_a_parameter_of_a_wrong_type_is_refused_at_fit(changed):
    classifier = FewShotClassifier(SOURCE, ECHO).set_params(**changed)
    with pytest.raises(ValueError, match=f"{next(iter(changed))} has a wrong type|cannot be used to seed"):
        classifier.fit(TEXTS, TOPICS)


def shown(classifier: FewShotClassifier) -> list[str]:
    return [example.input for example in classifier.fit(TEXTS, TOPICS).predictor_.support]


def test_random_state_orders_the_demonstrations():
    seeded = FewShotClassifier(SOURCE, "icl", random_state=3)
    assert shown(FewShotClassifier(SOURCE, "icl")) == TEXTS
    assert shown(seeded) == shown(seeded) == shown(clone(seeded)) != TEXTS and sorted(shown(seeded)) == sorted(TEXTS)
    drawn = FewShotClassifier(SOURCE, "icl", random_state=np.random.RandomState(3))
    assert shown(drawn) == shown(seeded) != shown(drawn)
    label_of = dict(zip(TEXTS, TOPICS, strict=True))
    assert all(label_of[example.input] == example.output for example in seeded.predictor_.support)


def test_of_two_classes_the_decision_is_the_second_ones_lead():
    two = FewShotClassifier(SOURCE, "knn").fit(TEXTS, TOPICS)
    lead = two.decision_function(QUERIES)
    assert lead.shape == (3,) and (two.classes_[(lead > 0).astype(int)] == two.predict(QUERIES)).all()
    factor = two.reliability_.inverse_temperature
    assert np.allclose(factor * lead, np.diff(two.predict_log_proba(QUERIES))[:, 0])
    assert FewShotClassifier(SOURCE, "knn").fit(TEXTS, [1, 2, 3] * 2).decision_function(QUERIES).shape == (3, 3)


# ---- model selection -------------------------------------------------------------------------------------------------


@pytest.fixture
def openings(monkeypatch):
    """How often a model was opened, counted from none."""
    opened = []
    really = opening.open_method
    monkeypatch.setattr(opening, "open_method", lambda *words: opened.append(words) or really(*words))
    opening.close_methods()
    return opened


@pytest.mark.parametrize("labels", [TOPICS, [3, -1] * 3, [True, False] * 3], ids=["strings", "integers", "booleans"])
def test_cross_validation_opens_the_model_once(openings, labels):
    scores = cross_val_score(FewShotClassifier(SOURCE, "knn"), TEXTS, labels, cv=3)
    assert scores.shape == (3,) and np.isfinite(scores).all() and len(openings) == 1
    areas = cross_val_score(FewShotClassifier(SOURCE, "knn"), pd.Series(TEXTS), labels, cv=3, scoring="roc_auc")
    assert np.isfinite(areas).all() and len(openings) == 1


def test_a_grid_search_in_a_pipeline_opens_each_method_once(openings):
    upper = FunctionTransformer(lambda texts: [text.upper() for text in texts])
    search = GridSearchCV(
        make_pipeline(upper, FewShotClassifier(SOURCE)),
        {"fewshotclassifier__method": ["knn", "majority"], "fewshotclassifier__random_state": [None, 1]},
        cv=3,
        scoring="neg_log_loss",
        refit=False,
    )
    search.fit(TEXTS, [2, 5] * 3)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert openings == [(SOURCE, "knn", False, {}), (SOURCE, "majority", False, {})]


# ---- storage ---------------------------------------------------------------------------------------------------------


def by_pickle(thing: Any) -> Any:
    return pickle.loads(pickle.dumps(thing))


def by_joblib(thing: Any) -> Any:
    stream = io.BytesIO()
    joblib.dump(thing, stream)
    stream.seek(0)
    return joblib.load(stream)


@pytest.mark.parametrize(
    ("copied", "method"),
    [(copied, "knn") for copied in (by_joblib, copy.copy, copy.deepcopy)]
    + [(by_pickle, method) for method in ("icl", "random", "a trained run")]
    + [pytest.param(by_pickle, method, marks=pytest.mark.slow) for method in ("setfit_lm", "finetune")],
)
def test_a_copy_gives_the_same_predictions(copied, method, tmp_path):
    source = (str(trained(tmp_path / "run")), None) if method == "a trained run" else (SOURCE, method)
    classifier = FewShotClassifier(*source, random_state=1)
    before = copied(classifier)
    classifier.fit(TEXTS, [7, 9] * 3)
    after = copied(classifier)
    opening.close_methods()  # what is left is what was copied
    assert before.get_params() == classifier.get_params() == after.get_params()
    assert_same_answers(classifier, after)
    assert_same_answers(classifier, before.fit(TEXTS, [7, 9] * 3))


def test_a_stored_classifier_holds_no_weights(tmp_path):
    for model, method in ((SOURCE, "finetune"), (trained(tmp_path / "run"), None)):
        classifier = FewShotClassifier(model, method).fit(TEXTS, TOPICS)
        classifier.predict(QUERIES)
        assert len(pickle.dumps(classifier)) < 4000


@pytest.mark.slow  # a process of its own imports torch
def test_a_stored_classifier_answers_in_another_process_and_folder(tmp_path, monkeypatch):
    trained(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    classifier = FewShotClassifier("run").fit(TEXTS, TOPICS)
    joblib.dump(classifier, tmp_path / "classifier.joblib")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    script = (
        "import joblib, torch; torch.set_num_threads(1); "
        f"print(joblib.load('../classifier.joblib').predict_proba({QUERIES}).tolist())"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=elsewhere)
    assert np.allclose(eval(done.stdout), classifier.predict_proba(QUERIES), atol=1e-6)


def test_a_stored_classifier_refuses_a_model_that_changed(tmp_path):
    run = trained(tmp_path / "run", "metaicl")
    classifier = FewShotClassifier(run).fit(TEXTS, TOPICS)
    before, stored = answers(classifier), pickle.dumps(classifier)
    trained(run, "metaicl", seed=1)
    assert np.array_equal(answers(classifier)[1], before[1])  # it has the model that it was fitted with
    with pytest.raises(
        UserError, match=r"best: the model changed after fit; found other files.*fit the classifier again"
    ):
        pickle.loads(stored).predict(QUERIES)
    again = pickle.loads(stored).fit(TEXTS, TOPICS)  # the way out
    assert_same_answers(again, FewShotClassifier(run).fit(TEXTS, TOPICS))
    shutil.rmtree(run)
    with pytest.raises(UserError, match="the model changed after fit; found no such folder"):
        pickle.loads(stored).predict(QUERIES)


# ---- every method ----------------------------------------------------------------------------------------------------


QUICK = ["zero_shot", "majority", "icl_contextual", "relation", "r2d2", "snail", "metaicl", "metaicl_channel", "fomaml"]


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in METHODS])
def test_every_method_answers_behind_the_estimator(name, tmp_path):
    options = {"inner_steps": 1} if "inner_steps" in defaults_of(method_class(name).Config) else {}
    cls = method_class(name)
    source = SOURCE if "causal" in cls.backbones else tiny.ENCODER
    model, method = (trained(tmp_path / "run", name, **options), None) if cls.meta_trained else (source, name)
    instruction = "Name the kind." if method and cls.reads_prompts else ""
    classifier = FewShotClassifier(model, method, instruction).fit(TEXTS[:4], [2, 10] * 2)
    probabilities = classifier.predict_proba(QUERIES)
    assert classifier.predict(QUERIES).tolist() == [[2, 10][column] for column in probabilities.argmax(1)]
    assert np.allclose(probabilities.sum(1), 1)


# ---- scikit-learn's own checks ---------------------------------------------------------------------------------------


class OnNumbers(FewShotClassifier):
    """The classifier on texts that spell out rows of numbers, since scikit-learn's checks use arrays of numbers and
    skip an estimator of texts."""

    def fit(self, X: Any, y: Any = None) -> FewShotClassifier:
        return super().fit(self.spelt(X, reset=True), y)

    def partial_fit(self, X: Any, y: Any = None, classes: Any = None) -> FewShotClassifier:
        return super().partial_fit(self.spelt(X, reset=not hasattr(self, "n_features_in_")), y, classes)

    def _scores(self, X: Any) -> np.ndarray:
        return super()._scores(self.spelt(X, reset=False))

    def spelt(self, X: Any, reset: bool) -> list[str]:
        validate_data(self, X, reset=reset, skip_check_array=True)
        return [" ".join(f"{value:.2g}" for value in row) for row in np.asarray(X).tolist()]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = True, False
        return tags


NUMBERS = "is about arrays of numbers; what X may hold here has tests of its own above"
CANNOT_APPLY = {
    "check_array_api_input": "is about arrays of numbers on other devices",
    "check_complex_data": NUMBERS,
    "check_dtype_object": NUMBERS,
    "check_estimators_empty_data_messages": "asks for a message about features; no texts get no answers",
    "check_estimators_nan_inf": "NaN among numbers is spelt out; NaN among texts is refused above",
    "check_estimator_sparse_tag": "no sparse matrix holds texts",
    "check_estimator_sparse_array": "no sparse matrix holds texts",
    "check_estimator_sparse_matrix": "no sparse matrix holds texts",
    "check_fit1d": "texts are one-dimensional",
    "check_fit2d_predict1d": "texts are one-dimensional",
}
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    CHECKS = [check for _, check in estimator_checks_generator(OnNumbers(SOURCE, "knn"))]


def check_name(check: Any) -> str:
    return check.func.__name__


def slow_where_it_is(check: Any) -> Any:
    """A check that fits hundreds of texts, each of them four more times for probabilities, is a slow test."""
    name = check_name(check)
    return pytest.param(check, id=name, marks=[pytest.mark.slow] * (name == "check_classifiers_train"))


@pytest.mark.parametrize("check", [slow_where_it_is(check) for check in CHECKS])
def test_scikit_learns_check_passes_or_cannot_apply_to_texts(check):
    if check_name(check) in CANNOT_APPLY:
        with pytest.raises((AssertionError, TypeError, ValueError, SkipTest)):
            check(OnNumbers(SOURCE, "knn"))
    else:
        check(OnNumbers(SOURCE, "knn"))


def test_the_table_of_checks_names_checks_that_exist():
    assert set(CANNOT_APPLY) <= {check_name(check) for check in CHECKS} and len(CHECKS) > 50


def test_a_type_error_of_ours_is_caught_as_either():
    assert issubclass(UserTypeError, TypeError) and issubclass(UserTypeError, UserError)
