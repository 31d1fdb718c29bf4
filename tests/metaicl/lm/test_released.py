"""The released adapter: what its folder holds, where its name is taken, and which tasks it may not be compared on."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
import yaml

from metaicl import FewShotClassifier
from metaicl.cli.main import main
from metaicl.inference import opening
from metaicl.lm import models, pulling
from metaicl.lm.config import BackboneConfig
from metaicl.lm.merged import ADAPTERS
from metaicl.lm.released import METAICL as NAME
from metaicl.lm.released import RELEASED, method_folder
from metaicl.training.checkpoint import CARD, load_weights, read_card, read_training, trained_folder
from metaicl.training.config import TrainRun
from metaicl.training.run import check_base_model, check_held_out, inherited_tasks
from metaicl.training.seals import check_files
from task_suites.core.errors import UserError
from task_suites.core.flat import build
from task_suites.provenance import data_record
from task_suites.sources import open_suite

FOLDER = RELEASED[NAME].folder
TEXTS = ["My parcel is late.", "I forgot my password.", "The courier went to the wrong house.", "I cannot log in."]
TOPICS = ["delivery", "login", "delivery", "login"]
DOUBTFUL = ("unstated", "none stated", "-nc-", "-sa-", "gpl", "non-commercial", "terms apply")


def test_the_folder_holds_small_adapters_a_card_and_whole_files():
    card = json.loads((FOLDER / CARD).read_text())
    assert (FOLDER / ADAPTERS).stat().st_size < 12e6
    assert {"adapter_config.json", ADAPTERS} <= card["files"].keys()
    check_files(FOLDER, card["files"], "method.json", "Write it again.")
    page = (FOLDER / "README.md").read_text()
    for heading in ("## Use", "## Training", "## Scores", "## Limits", "## Tasks"):
        assert heading in page


def test_nothing_in_the_folder_names_a_place_on_a_machine():
    for name in (CARD, "adapter_config.json", "README.md"):
        text = (FOLDER / name).read_text()
        assert not [start for start in ('"/', " /root", "../", "\\\\") if start in text], name


def test_every_training_task_has_a_stated_licence_that_allows_it_and_stands_in_the_card():
    training = read_training(FOLDER)
    assert training is not None and len(training.trained_on) > 100
    page = (FOLDER / "README.md").read_text()
    for name, task in training.trained_on.items():
        assert task["licence"] and not [word for word in DOUBTFUL if word in task["licence"].lower()], name
        assert f"| {name} |" in page


def test_the_recipe_names_the_tasks_that_it_was_trained_on(pytestconfig):
    recipe = yaml.safe_load((pytestconfig.rootpath / "configs" / "release.yaml").read_text())
    training = read_training(FOLDER)
    assert training is not None
    assert set(recipe["tasks"]) == set(training.data)
    for name in ("k", "k_min", "queries", "max_steps", "learning_rate", "arbitrary_labels", "lora_r", "lora_layers"):
        assert training.run[name] == recipe[name], name


def test_it_is_refused_on_its_own_training_tasks_and_taken_on_unseen_ones():
    suite = open_suite("embedded")
    seen, unseen = (data_record(suite.split(side)) for side in ("meta_train", "meta_test"))
    check_base_model(NAME, unseen)
    with pytest.raises(UserError, match="was meta-trained on them"):
        check_base_model(NAME, seen)
    renamed = {"another_name": seen["household_trade"]}
    with pytest.raises(UserError, match="another_name"):
        check_held_out(FOLDER, renamed)


def test_training_on_top_of_it_inherits_its_tasks():
    inherited = inherited_tasks(build(TrainRun, {"model": NAME}))
    assert inherited is not None and "household_trade" in inherited


def test_its_name_stands_for_its_folder_also_where_a_folder_has_that_name(tmp_path, monkeypatch):
    (tmp_path / NAME).mkdir()
    monkeypatch.chdir(tmp_path)
    assert trained_folder(NAME) == method_folder(NAME) == FOLDER
    assert models.resolve(NAME) == str(FOLDER)
    assert models.lasting_name(NAME) == NAME
    assert models.kind_of(NAME) == "causal"
    assert read_card(FOLDER)[0].backbone.model == RELEASED[NAME].base


def test_it_is_listed_shown_and_meant_by_a_name_that_is_nearly_right(capsys):
    main(["models", "list"])
    assert f"{NAME}  shipped" in capsys.readouterr().out
    main(["models", "show", NAME])
    assert "README.md" in capsys.readouterr().out
    with pytest.raises(UserError, match=f"Did you mean {NAME}"):
        models.resolve("smollm2-135m-metaicI")


def test_its_base_model_is_pulled_when_it_is_opened(monkeypatch):
    pulled = []

    def pull(name, say):
        pulled.append(name)
        raise UserError("no network")

    monkeypatch.setattr(opening, "pull", pull)
    with pytest.raises(UserError, match="no network"):
        opening.open_method(NAME)
    assert pulled == [NAME]


def test_pulling_it_pulls_its_base_model(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(pulling, "local_folder", lambda name: asked.append(name) or tmp_path)
    assert pulling.pull(NAME) == FOLDER
    assert asked == [RELEASED[NAME].base]


def test_a_classifier_takes_it_by_its_name_and_moves_with_it(real_model):
    classifier = FewShotClassifier(NAME).fit(TEXTS, TOPICS)
    assert list(classifier.predict(["Where is my package?", "My password is wrong."])) == ["delivery", "login"]
    again = pickle.loads(pickle.dumps(classifier))
    assert again.predictor_.source.model == NAME
    assert list(again.predict(["Where is my package?"])) == ["delivery"]


@pytest.mark.slow
def test_as_a_base_model_it_scores_as_its_adapters_beside_the_base_do(real_model):
    """Merged weights and adapters beside the base differ by rounding only."""
    config = read_card(FOLDER)[0]
    exact = replace(config, backbone=replace(config.backbone, dtype="float32"))
    beside = exact.build()
    load_weights(beside, FOLDER)
    merged = replace(exact, name="icl", backbone=BackboneConfig(NAME, dtype="float32")).build()
    task = open_suite("embedded")["court_matter"]
    support, queries = list(task.examples("train")[:4]), [e.hidden() for e in task.examples("test")[:4]]
    a, b = (np.stack(method.adapt(task, support).scores(queries)) for method in (beside, merged))
    assert np.abs(a - b).max() < 1e-3
    plain = replace(exact, name="icl", backbone=BackboneConfig("smollm2-135m", dtype="float32")).build()
    assert np.abs(a - np.stack(plain.adapt(task, support).scores(queries))).max() > 0.05
