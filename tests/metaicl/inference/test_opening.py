"""A method is opened by name or folder; where no model is named, the released adapter answers options, its base model
everything else."""

from __future__ import annotations

import json

import pytest

from metaicl import FewShotClassifier
from metaicl.cli.main import main
from metaicl.inference.opening import MethodSource, default_model, open_method
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from task_suites.core.errors import UserError

BASE, ADAPTER = "smollm2-135m", "smollm2-135m-metaicl"
TEXTS = ["a fig", "a saw", "a pear", "an axe", "a plum", "a drill"]
LABELS = ["fruit", "tool"] * 3
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


def test_methods_of_one_model_share_its_weights():
    one = FewShotClassifier("tiny-random", "icl").fit(TEXTS, LABELS)
    other = FewShotClassifier("tiny-random", "knn").fit(TEXTS, LABELS)
    assert one.predictor_.method.backbone is other.predictor_.method.backbone


def test_a_method_that_needs_training_is_refused_on_a_plain_backbone():
    with pytest.raises(UserError, match="meta-trained before use"):
        open_method("tiny-random", "metaicl")


def test_a_folder_beside_the_files_of_a_model_is_none_of_them(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "more.json").mkdir()
    assert MethodSource.find(str(tmp_path)).open().backbone
