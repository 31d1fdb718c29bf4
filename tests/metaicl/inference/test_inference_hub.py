"""Estimators go to the hub with a card made from them, and come back; a stand-in keeps what was uploaded."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import pytest
import yaml
from backbones import tiny_config
from huggingface_hub.errors import OfflineModeIsEnabled

from metaicl import FewShotClassifier, FewShotGenerator, FewShotTagger
from metaicl.inference.saved import FILE
from metaicl.training.checkpoint import MethodConfig, save_method
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

TEXTS, LABELS = ["a fig", "a saw", "a pear", "an axe", "a plum | x", "a drill"], ["fruit", "a|tool"] * 3
WORDS, TAGS = [["in", "Rome"], ["to", "Oslo", "now"]], [["O", "B-city"], ["O", "B-city", "O"]]
REPO = "somebody/kinds"


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """A folder in the layout of the hub's cache, in which uploads arrive."""
    folder = tmp_path / "hub" / f"models--{REPO.replace('/', '--')}"
    snapshot = folder / "snapshots" / ("0" * 40)

    def upload(api, *, repo_id, folder_path, commit_message):
        assert repo_id == REPO and api.token == "secret"
        shutil.copytree(folder_path, snapshot)
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("0" * 40)

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda api, repo, **given: f"hub://{repo}")
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", upload)
    return snapshot


def run(folder: Path, **changes) -> str:
    config = MethodConfig("metaicl", {}, tiny_config(**changes), PromptFormat())
    save_method(config.build(), config, folder / "best")
    return str(folder)


@pytest.mark.parametrize("weights", ["lora", "full"])
def test_a_trained_method_travels_with_its_estimator(hub, tmp_path, weights):
    before = FewShotClassifier(run(tmp_path / "run", weights=weights)).fit(TEXTS, LABELS)
    assert before.push_to_hub(REPO, token="secret") == f"hub://{REPO}"
    shutil.rmtree(tmp_path / "run")
    assert {path.suffix for path in hub.rglob("*") if path.is_file()} <= {".json", ".safetensors", ".md", ".jinja"}
    assert str(tmp_path) not in (hub / FILE).read_text()
    after = FewShotClassifier.from_pretrained(REPO)
    assert after.decision_function(["a lime"]) == pytest.approx(before.decision_function(["a lime"]), abs=1e-6)
    assert after.predictor_.source.fingerprint == before.predictor_.source.fingerprint


def test_the_card_says_what_it_was_made_from(hub):
    classifier = FewShotClassifier("tiny-random", instruction="Name the kind.").fit(TEXTS, LABELS)
    classifier.push_to_hub(REPO, token="secret")
    _, head, body = (hub / "README.md").read_text().split("---\n", 2)
    assert yaml.safe_load(head)["pipeline_tag"] == "text-classification" and REPO in body
    for said in ("tiny-random", "Raw ICL", "Name the kind.", "| fruit | 3 |", "| a\\|tool | 3 |", "Brier score"):
        assert said in body


@pytest.mark.parametrize(
    ("estimator", "inputs", "answers"),
    [(FewShotTagger("tiny-random"), WORDS, TAGS), (FewShotGenerator("tiny-random"), TEXTS, [t[::-1] for t in TEXTS])],
    ids=["tagger", "generator"],
)
def test_the_other_estimators_travel_too(hub, estimator, inputs, answers):
    found = estimator.fit(inputs, answers).predict(inputs[:1])
    estimator.push_to_hub(REPO, token="secret")
    assert type(estimator).from_pretrained(REPO).predict(inputs[:1]) == found
    with pytest.raises(UserError, match="another estimator was saved here"):
        FewShotClassifier.from_pretrained(REPO)


def test_a_folder_is_loaded_as_by_load(tmp_path):
    classifier = FewShotClassifier("tiny-random").fit(TEXTS, LABELS)
    classifier.save(tmp_path / "saved")
    assert FewShotClassifier.from_pretrained(str(tmp_path / "saved")).predict(TEXTS[:1]) == classifier.predict(
        TEXTS[:1]
    )


def test_pickled_weights_and_a_base_model_without_a_name_are_refused_before_anything_is_uploaded(hub, tmp_path):
    pickled = FewShotClassifier(run(tmp_path / "pickled")).fit(TEXTS, LABELS)
    (tmp_path / "pickled" / "best" / "more.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="not safetensors"):
        pickled.push_to_hub(REPO, token="secret")
    base = tmp_path / "base"
    FewShotClassifier("tiny-random").fit(TEXTS, LABELS).predictor_.method.backbone.model.save_pretrained(base)
    FewShotClassifier("tiny-random").fit(TEXTS, LABELS).predictor_.method.backbone.tokenizer.save_pretrained(base)
    on_folder = FewShotClassifier(run(tmp_path / "run", model=str(base))).fit(TEXTS, LABELS)
    with pytest.raises(UserError, match="metaicl export"):
        on_folder.push_to_hub(REPO, token="secret")
    assert not hub.exists()


def test_a_hub_that_cannot_be_reached_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))

    def offline(*given, **more):
        raise OfflineModeIsEnabled("Cannot reach the hub:\noffline mode is enabled.")

    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", offline)
    classifier = FewShotClassifier("tiny-random").fit(TEXTS, LABELS)
    with pytest.raises(UserError, match=r"^somebody/kinds cannot be written on the hub: offline mode is enabled.*"):
        classifier.push_to_hub(REPO)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(UserError, match="cannot be fetched from the hub: offline") as error:
        FewShotClassifier.from_pretrained(REPO)
    assert len(str(error.value).splitlines()) == 1


def test_code_of_another_package_is_not_imported_from_the_hub(hub):
    FewShotClassifier("tiny-random").fit(TEXTS, LABELS).push_to_hub(REPO, token="secret")
    content = json.loads((hub / FILE).read_text())
    content["parameters"]["method"] = "antigravity:Fly"
    (hub / FILE).write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"runs code of another package.*antigravity:Fly"):
        FewShotClassifier.from_pretrained(REPO)
