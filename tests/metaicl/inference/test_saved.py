"""An estimator is stored as JSON, and a folder that was changed is refused."""

from __future__ import annotations

import json

import pytest
from sklearn.base import clone

from metaicl import FewShotClassifier, FewShotGenerator, FewShotTagger
from metaicl.lm import tiny
from task_suites.core.errors import UserError

TEXTS = ["a fig", "a saw", "a pear", "an axe", "a plum", "a drill"]
LABELS = ["fruit", "tool"] * 3
WORDS, TAGS = [["in", "Rome"], ["to", "Oslo", "now"]], [["O", "B-city"], ["O", "B-city", "O"]]


@pytest.mark.parametrize(
    ("estimator", "given", "queries"),
    [
        (FewShotClassifier("tiny-random", method_options={"shown": 2}), (TEXTS, LABELS), ["a lime"]),
        (FewShotClassifier(tiny.ENCODER), (TEXTS, [3, 7] * 3), ["a lime"]),
        (FewShotTagger("tiny-random", "knn"), (WORDS, TAGS), [["Bonn"]]),
        (FewShotGenerator("tiny-random", random_state=1), (["1", "2"], ["one", "two"]), ["3"]),
    ],
    ids=["classifier", "encoder", "tagger", "generator"],
)
def test_a_saved_estimator_answers_as_before(estimator, given, queries, tmp_path):
    fitted = clone(estimator).fit(*given)
    fitted.save(tmp_path / "saved")
    loaded = type(estimator).load(tmp_path / "saved")
    found, before = loaded.predict(queries), fitted.predict(queries)
    assert list(found) == list(before) and loaded.get_params() == fitted.get_params()
    assert getattr(found, "dtype", None) == getattr(before, "dtype", None)
    assert [path.name for path in (tmp_path / "saved").iterdir()] == ["few_shot.json"]
    with pytest.raises(UserError, match="already exists"):
        fitted.save(tmp_path / "saved")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, "not a saved estimator of this version"),
        ({"estimator": "FewShotTagger"}, "another estimator"),
        ({"dtype": "M8[s]"}, "not a saved estimator"),
        ({"dtype": "V8"}, "not a saved estimator"),
        ({"parameters": 3}, "not a saved estimator"),
        ({"fingerprint": "0" * 64}, "the model changed after save"),
    ],
)
def test_a_folder_that_was_changed_is_refused(change, message, tmp_path):
    FewShotClassifier("tiny-random").fit(TEXTS, LABELS).save(tmp_path / "saved")
    path = tmp_path / "saved" / "few_shot.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=message):
        FewShotClassifier.load(tmp_path / "saved")
