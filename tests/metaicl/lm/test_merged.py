"""A trained method's model as a base model of other methods."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from backbones import tiny_config
from on_toys import TASKS, scores
from safetensors.torch import load_file, save_file

from metaicl.cli.main import main
from metaicl.lm import configuration, models
from metaicl.lm.backbone import Backbone
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from metaicl.methods import method_class
from metaicl.testing import draw
from metaicl.training.checkpoint import MethodConfig, save_method
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

EPISODE = draw(TASKS["options"], k=4, queries=3)


def trained(folder, model="tiny-random", name="metaicl", seed=0, **changes):
    """A method with adapters that differ from zero, saved in `folder`."""
    config = MethodConfig(name, {}, tiny_config(model=model, weights="lora", lora_alpha=32, **changes), PromptFormat())
    method = config.build()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in method.learned().values():
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
    save_method(method, config, folder)
    return method


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize("kind", ["registry", "folder"])
def test_in_context_learning_on_a_merged_base_has_the_scores_of_the_trained_method_without_its_calibration(
    tmp_path, base, kind
):
    method = trained(tmp_path / "best", "tiny-random" if kind == "registry" else base)
    plain = method_class("icl").build(method.backbone, PromptFormat())
    merged = Backbone.load(tiny_config(model=str(tmp_path / "best"), weights="frozen"))
    found = scores(method_class("icl").build(merged, PromptFormat()), EPISODE)
    assert np.allclose(found, scores(plain, EPISODE), atol=1e-4)
    bare = method_class("icl").build(Backbone.load(tiny_config(weights="frozen")), PromptFormat())
    assert np.abs(found - scores(bare, EPISODE)).max() > 0.01
    for name in ("ct_kv", "ttt", "finetune"):  # they learn on top of it; without steps they are its zero- or few-shot
        weights = method_class(name).weights
        on_top = method_class(name).build(
            Backbone.load(tiny_config(model=str(tmp_path / "best"), weights=weights)), PromptFormat(), {"steps": 0}
        )
        expected = found if name != "finetune" else scores(plain, EPISODE, ())
        assert np.allclose(scores(on_top, EPISODE), expected, atol=1e-4)


def test_adapters_over_merged_adapters_are_one_model_and_have_the_base_models_shape(tmp_path, base):
    trained(tmp_path / "one", base)
    both = trained(tmp_path / "two", str(tmp_path / "one"), seed=1)
    merged = Backbone.load(tiny_config(model=str(tmp_path / "two"), weights="frozen"))
    ids = list(range(1, 12))
    with torch.no_grad():
        assert torch.allclose(merged.plain_logits(ids), both.backbone.plain_logits(ids), atol=1e-4)
    assert configuration.foundation(models.resolve(str(tmp_path / "two"))) == (base, {})
    assert configuration.configuration(str(tmp_path / "two")).num_hidden_layers == tiny_model().config.num_hidden_layers


def test_a_folder_without_its_base_or_with_other_adapters_is_one_clear_error(tmp_path, base):
    copied = tmp_path / "base"
    shutil.copytree(base, copied)
    trained(tmp_path / "best", str(copied))
    config = tiny_config(model=str(tmp_path / "best"), weights="frozen")
    weights = tmp_path / "best" / "adapter_model.safetensors"
    kept = load_file(weights)
    save_file({n: t for i, (n, t) in enumerate(kept.items()) if i}, weights)
    with pytest.raises(UserError, match="the weights are incomplete or damaged; found 1 missing"):
        Backbone.load(config)
    save_file(kept, weights)
    shutil.rmtree(copied)
    with pytest.raises(UserError, match=r"the base model of the method in .* is not there"):
        Backbone.load(config)


def test_a_method_with_more_than_adapters_and_adapters_of_weights_that_are_used_twice_are_refused(tmp_path):
    trained(tmp_path / "tnet", name="tnet")
    with pytest.raises(UserError, match=r"learned more than adapters.*--methods"):
        Backbone.load(tiny_config(model=str(tmp_path / "tnet"), weights="frozen"))
    trained(tmp_path / "tied", target_modules="lm_head")
    with pytest.raises(UserError, match=r"weights that the model uses twice.*README.md"):
        Backbone.load(tiny_config(model=str(tmp_path / "tied"), weights="frozen"))


def test_a_runs_folder_is_answered_with_its_best_weights(tmp_path):
    trained(tmp_path / "run" / "best")
    with pytest.raises(UserError, match=r"no model in folder .*run; .*Give .*run/best"):
        models.resolve(str(tmp_path / "run"))


def test_evaluate_compares_methods_on_top_of_a_trained_model_of_which_is_known_what_it_was_trained_on(tmp_path, capsys):
    run, unknown = tmp_path / "run", tmp_path / "unknown"
    common = ["--suite", "toys:toy_suite", "--min_train", "1", "--min_test", "1"]
    common += ["--device", "cpu", "--dtype", "float32", "--no-progress", "--k", "2", "--queries", "2"]
    main(["train", *common, "--max_steps", "1", "--model", "tiny-random", "--lora_r", "4", "--output_dir", str(run)])
    compare = ["evaluate", *common, "--methods", "icl", "ct_kv", "--highlight", "ct_kv", "--seeds", "1"]
    main([*compare, "--model", str(run / "best"), "--output_dir", str(tmp_path / "compared")])
    assert "CT-KV" in capsys.readouterr().out
    trained(unknown)
    with pytest.raises(SystemExit):
        main([*compare, "--model", str(unknown), "--output_dir", str(tmp_path / "refused")])
    assert "nothing says what the base model" in capsys.readouterr().err
