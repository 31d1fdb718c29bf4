"""Which model answers where none is named: the released adapter for options, its base model for everything else."""

from __future__ import annotations

import json

import pytest

from metaicl import FewShotClassifier
from metaicl.cli.main import main
from metaicl.inference.opening import default_model

BASE, ADAPTER = "smollm2-135m", "smollm2-135m-metaicl"
DEMOS = [("Cold soup.", "bad"), ("What a view!", "good"), ("Rude waiters.", "bad"), ("Warm bread.", "good")]


@pytest.mark.parametrize(
    ("form", "given", "expected"),
    [
        ("options", {}, ADAPTER),
        ("options", {"method": "icl"}, BASE),
        ("options", {"instructed": True}, BASE),
        ("text", {}, BASE),
        ("tags", {}, BASE),
    ],
)
def test_the_adapter_is_taken_for_what_it_was_trained_to_do(form, given, expected):
    assert default_model(form, **given) == expected


def test_a_classifier_without_arguments_learns_with_the_adapter_and_is_saved_with_its_name(real_model, tmp_path):
    texts, labels = zip(*DEMOS, strict=True)
    classifier = FewShotClassifier().fit(list(texts), list(labels))
    assert classifier.predictor_.source.model == ADAPTER and classifier.get_params()["model"] is None
    assert FewShotClassifier(method="icl").fit(list(texts), list(labels)).predictor_.source.model == BASE
    classifier.save(tmp_path / "saved")
    again = FewShotClassifier.load(tmp_path / "saved")
    assert list(again.predict(["Tasty!"])) == list(classifier.predict(["Tasty!"]))


def test_predict_without_a_model_answers_as_with_the_adapter(real_model, tmp_path, capsys):
    (tmp_path / "d.jsonl").write_text("".join(json.dumps({"input": x, "output": y}) + "\n" for x, y in DEMOS * 2))
    (tmp_path / "i.jsonl").write_text('{"input": "Friendly people."}\n')
    words = ["predict", "--demos", str(tmp_path / "d.jsonl"), "--inputs", str(tmp_path / "i.jsonl")]
    main(words)
    unnamed = capsys.readouterr().out
    main([*words, "--model", ADAPTER])
    assert capsys.readouterr().out == unnamed and '"answer"' in unnamed
