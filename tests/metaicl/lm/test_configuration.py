"""A revision of a hub model, on a stand-in for the hub's cache: its weights, configuration and commit."""

from __future__ import annotations

import huggingface_hub.constants  # noqa: F401  (its attributes are set below)
import pytest
import torch
from backbones import tiny_config

from metaicl.lm.backbone import Backbone
from metaicl.lm.configuration import commit_of, configuration
from metaicl.lm.kinds import load_backbone
from metaicl.lm.loading import open_model
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from metaicl.training.checkpoint import MethodConfig, save_method
from metaicl.training.identity import model_identity
from metaicl.training.idle_options import layers_of
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat


@pytest.fixture
def on_hub(tmp_path, monkeypatch):
    """A hub's cache in which a model has two revisions; "wide" has one layer more."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    model = tmp_path / "models--me--toy"
    (model / "refs").mkdir(parents=True)
    for revision, commit, layers in (("main", "a" * 40, 2), ("wide", "b" * 40, 3)):
        (model / "refs" / revision).write_text(commit)
        tiny_model(layers=layers).save_pretrained(model / "snapshots" / commit)
        tiny_tokenizer().save_pretrained(model / "snapshots" / commit)
    return "me/toy"


def test_a_revision_names_weights_configuration_and_identity(on_hub):
    main, wide = tiny_config(model=on_hub), tiny_config(model=on_hub, revision="wide")
    assert [Backbone.load(c).model_config.num_hidden_layers for c in (main, wide)] == [2, 3]
    assert [layers_of(c) for c in (main, wide)] == [2, 3]
    assert [model_identity(c) for c in (main, wide)] == [{"commit": "a" * 40}, {"commit": "b" * 40}]
    with pytest.raises(UserError, match="'me/toy' cannot be opened"):
        Backbone.load(tiny_config(model=on_hub, revision="nowhere"))


def test_a_method_on_a_revision_merges_into_that_revision(on_hub, tmp_path):
    config = MethodConfig("metaicl", {}, tiny_config(model=on_hub, revision="wide", weights="lora"), PromptFormat())
    save_method(config.build(), config, tmp_path / "best")
    merged, _ = open_model(str(tmp_path / "best"), torch.float32)
    assert merged.config.num_hidden_layers == 3
    assert layers_of(tiny_config(model=str(tmp_path / "best"))) == 3


@pytest.mark.parametrize("model", ["tiny-random", "tiny-encoder", "folder"])
def test_a_revision_of_what_is_not_on_a_hub_is_refused(model, tmp_path):
    if model == "folder":
        tiny_model().save_pretrained(tmp_path / model)
        model = str(tmp_path / model)
    with pytest.raises(UserError, match=r"revision is old, but .* is not a hub model"):
        load_backbone(tiny_config(model=model, revision="old"))


def test_a_hub_model_that_is_not_there_is_one_clear_error(on_hub):
    for look in (configuration, commit_of):
        with pytest.raises(UserError, match="no model 'me/other'"):
            look("me/other")
