"""An estimator is stored as JSON, and a folder that was changed is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone

from examples import examples
from metaicl import FewShotClassifier, FewShotGenerator, FewShotTagger
from metaicl.lm import tiny
from task_suites.core.errors import UserError, UserTypeError

TEXTS = ["a fig", "a saw", "a pear", "an axe", "a plum", "a drill"]
LABELS = ["fruit", "tool"] * 3
WORDS, TAGS = [["in", "Rome"], ["to", "Oslo", "now"]], [["O", "B-city"], ["O", "B-city", "O"]]


@pytest.mark.parametrize(
    ("estimator", "demonstrations", "queries"),
    [
        (FewShotClassifier("tiny-random", method_options={"shown": 2}), (TEXTS, LABELS), ["a lime"]),
        (FewShotClassifier(tiny.ENCODER), (TEXTS, [3, 7] * 3), ["a lime"]),
        (FewShotTagger("tiny-random", "knn"), (WORDS, TAGS), [["Bonn"]]),
        (FewShotGenerator("tiny-random", random_state=1), (["1", "2"], ["one", "two"]), ["3"]),
    ],
    ids=["classifier", "encoder", "tagger", "generator"],
)
def test_a_saved_estimator_answers_as_before(estimator, demonstrations, queries, tmp_path):
    fitted = clone(estimator).fit(*demonstrations)
    fitted.save(tmp_path / "saved")
    loaded = type(estimator).load(tmp_path / "saved")
    found, before = loaded.predict(queries), fitted.predict(queries)
    assert list(found) == list(before) and loaded.get_params() == fitted.get_params()
    assert getattr(found, "dtype", None) == getattr(before, "dtype", None)
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["few_shot.json"]
    with pytest.raises(UserError, match="exists already"):
        fitted.save(tmp_path / "saved")


@examples(40)
@given(data=st.data(), kind=st.sampled_from(["text", "integer", "boolean", "object"]))
def test_classes_without_a_demonstration_are_saved_with_the_others(data, kind, tmp_path_factory):
    pools = {"integer": [-3, 0, 7, 12], "boolean": [False, True], "object": ["fig", "saw", "axe"]}
    pool = pools.get(kind, ["fig", "tool kit", "9"])
    classes = data.draw(st.lists(st.sampled_from(pool), min_size=2, unique=True))
    labels = data.draw(st.lists(st.sampled_from(classes), min_size=1, max_size=4))
    texts, y = TEXTS[: len(labels)], np.array(labels, object) if kind == "object" else labels
    fitted = FewShotClassifier("tiny-random").partial_fit(texts, y, classes=classes)
    folder = tmp_path_factory.mktemp("classes") / "saved"
    fitted.save(folder)
    loaded = FewShotClassifier.load(folder)
    assert loaded.classes_.tolist() == sorted(classes) and loaded.classes_.dtype == fitted.classes_.dtype
    assert (loaded.decision_function(["a lime"]) == fitted.decision_function(["a lime"])).all()


def test_numbers_of_numpy_are_parameters_like_any_other(tmp_path):
    options = {"shown": np.int64(2)}
    fitted = FewShotClassifier("tiny-random", random_state=np.int64(3), method_options=options).fit(TEXTS, LABELS)
    fitted.save(tmp_path / "saved")
    assert FewShotClassifier.load(tmp_path / "saved").get_params()["method_options"] == {"shown": 2}
    with pytest.raises(UserTypeError, match="not a plain value"):
        FewShotClassifier("tiny-random", method_options={"shown": object()}).fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "not a saved estimator of this version"),
        ({"estimator": "FewShotTagger"}, "another estimator was saved here"),
        ({"dtype": "M8[s]"}, "not a saved estimator"),
        ({"dtype": "V8"}, "not a saved estimator"),
        ({"dtype": "<U1"}, "answers that are not of the type <U1"),
        ({"answers": [[label] for label in LABELS]}, "answers that are not of the type <U5"),
        ({"parameters": 3}, "not a saved estimator"),
        ({"parameters": {"model": "tiny-random", "colour": 1}}, r"unknown parameters \['colour'\]"),
        ({"fingerprint": "0" * 64}, "the model changed after save"),
    ],
)
def test_a_folder_that_was_changed_is_refused(change, message, tmp_path):
    FewShotClassifier("tiny-random").fit(TEXTS, LABELS).save(tmp_path / "saved")
    path = tmp_path / "saved" / "few_shot.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        FewShotClassifier.load(tmp_path / "saved")
