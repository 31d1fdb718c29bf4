"""Each model family is trained, scored, saved and loaded with the same scores."""

from __future__ import annotations

import logging
from dataclasses import replace

import pytest
import torch
from backbones import tiny_config
from families import FAMILIES, make
from training import CONFIG, TASKS

from metaicl.lm.backbone import Backbone
from metaicl.lm.tiny import tiny_tokenizer
from metaicl.training.checkpoint import MethodConfig, load_method
from metaicl.training.trainer import Trainer
from task_suites.episodes import EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat

LEARNED = {  # where adapters in all linear modules do not train
    "llama4": {"weights": "lora", "target_modules": "q_proj,v_proj"},  # its router returns a tuple
    "mamba": {"weights": "full"},  # peft takes none in its projections
}
EPISODE = EpisodeSampler(0, 4, 4).draw(TASKS[0], "test", 0)


def scores(method) -> torch.Tensor:
    found = method.adapt(EPISODE.task, EPISODE.support).scores([query.hidden() for query in EPISODE.queries])
    return torch.stack([torch.as_tensor(one) for one in found])


@pytest.mark.parametrize("family", FAMILIES)
def test_three_steps_change_the_scores_which_a_saved_method_keeps(family, tmp_path, caplog):
    make(family).save_pretrained(tmp_path / "model")
    tiny_tokenizer().save_pretrained(tmp_path / "model")
    learned = LEARNED.get(family, {"weights": "lora"})
    config = MethodConfig("metaicl", {}, tiny_config(model=str(tmp_path / "model"), **learned), PromptFormat())
    with caplog.at_level(logging.WARNING, "metaicl"):
        method = config.build()
    assert isinstance(method.backbone, Backbone) and method.backbone.attention == FAMILIES[family][2]
    before = scores(method)
    steps = replace(CONFIG, max_steps=3, episodes_per_step=1)
    trained = Trainer(method, config, TASKS, steps, tmp_path / "run", progress=False).run()
    after = scores(method)
    assert torch.isfinite(after).all() and (after - before).abs().max() > 1e-4
    again = load_method(trained.folder)
    assert again is not method and again.backbone.attention == method.backbone.attention
    assert torch.allclose(scores(again), after, atol=1e-5)
