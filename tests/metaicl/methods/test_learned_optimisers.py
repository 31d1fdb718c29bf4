"""What learned optimisers and transforms share: they are saved with the method, and learn."""

from __future__ import annotations

import pytest
import torch
from backbones import tiny_config
from gradients import EPISODE

from metaicl.training.checkpoint import MethodConfig, load_method, save_method
from task_suites.formats.prompt_format import PromptFormat

TASK, SUPPORT = EPISODE.task, EPISODE.support


@pytest.mark.parametrize("name", ["reptile", "meta_sgd", "tnet", "mtnet", "lstm_meta"])
def test_what_a_method_learned_beside_the_backbone_is_saved_and_loaded(name, tmp_path):
    config = MethodConfig(name, {"inner_steps": 1}, tiny_config(), PromptFormat())
    method = config.build()
    with torch.no_grad():
        for i, p in enumerate(method.learned().values()):
            p.add_(0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(i)))
    save_method(method, config, tmp_path / "best")
    loaded = load_method(tmp_path / "best")
    queries = [q.hidden() for q in EPISODE.queries]
    expected, found = (m.adapt(TASK, SUPPORT).scores(queries) for m in (method, loaded))
    assert all((a == b).all() for a, b in zip(expected, found, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(method.learned().values(), loaded.learned().values(), strict=True))


# not Reptile: its loss is half the squared distance to the adapted weights, which need not fall
@pytest.mark.parametrize("name", ["meta_sgd", "tnet", "mtnet", "lstm_meta"])
def test_the_outer_loop_lowers_the_loss_of_an_episode_learned_again_and_again(name):
    options = {"inner_steps": 2, "inner_lr": 0.01 if name == "lstm_meta" else 0.1}
    method = MethodConfig(name, options, tiny_config(), PromptFormat()).build()
    optimizer = torch.optim.AdamW(method.learned().values(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(12):
        loss, weight = method([EPISODE])
        losses.append(float((loss / weight).detach()))
        optimizer.zero_grad()
        (loss / weight).backward()
        optimizer.step()
    assert losses[-1] < 0.97 * losses[0]
