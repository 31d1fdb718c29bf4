"""Scores before saving equal those after loading in a fresh process, also of a model whose embeddings are tied."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from backbones import tiny_config
from toys import toy_task

from metaicl.lm.backbone import Backbone
from metaicl.lm.tied import adapted_tied_layers
from metaicl.lm.tiny import tiny_model, tiny_tokenizer
from metaicl.training.checkpoint import MethodConfig, save_method
from task_suites.episodes import EpisodeSampler
from task_suites.formats.prompt_format import PromptFormat

ROOT = Path(__file__).resolve().parents[3]
TIED = {"head": "lm_head", "embedding": "embed_tokens", "both": "lm_head,embed_tokens", "some": "lm_head,q_proj"}
KINDS = {**TIED, "layers": "all-linear", "full": None}
IDS = torch.arange(1, 12)[None]
EPISODE = EpisodeSampler(0, 4, 3).draw(toy_task(), "test", 0)

FRESH = """
import os, re, sys
from pathlib import Path
import numpy as np, torch
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))  # as in the process of the tests
sys.path[:0] = sys.argv[3:]
from peft import PeftModel
from test_tied import IDS, KINDS, scores
from metaicl.training.checkpoint import load_method
from transformers import AutoModelForCausalLM
parent, base = Path(sys.argv[1]), sys.argv[2]
found = {}
for kind, targets in KINDS.items():
    folder = parent / kind
    found[f"{kind} scores"] = scores(load_method(folder))
    if targets is None:
        plain = AutoModelForCausalLM.from_pretrained(folder)
    else:
        plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder)
    with torch.no_grad():
        found[f"{kind} logits"] = plain.eval()(IDS).logits.numpy()
        if targets is not None:
            found[f"{kind} merged"] = plain.merge_and_unload()(IDS).logits.numpy()
    if (note := re.search(r"```python\\n(import torch.*?)```", (folder / "README.md").read_text(), re.S)
            if (folder / "README.md").is_file() else None):
        names = {"base": base, "adapters": str(folder)}
        exec(note[1], names)
        names["merged"].save_pretrained(parent / f"{kind}-merged")
        again = AutoModelForCausalLM.from_pretrained(parent / f"{kind}-merged").eval()
        with torch.no_grad():
            found[f"{kind} noted"] = again(IDS).logits.numpy()
np.savez(parent / "found.npz", **found)
"""


def scores(method) -> np.ndarray:
    return np.stack(method.adapt(EPISODE.task, EPISODE.support).scores([q.hidden() for q in EPISODE.queries]))


@pytest.fixture(scope="module")
def compared(tmp_path_factory) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], dict[str, list[str]]]:
    """What methods gave before saving (`KIND scores`, `KIND logits`) and give in a fresh process, and what was said."""
    parent = tmp_path_factory.mktemp("tied")
    tiny_model().save_pretrained(parent / "base")
    tiny_tokenizer().save_pretrained(parent / "base")
    before, said = {}, {}
    for kind, targets in KINDS.items():
        weights = "full" if targets is None else "lora"
        backbone = tiny_config(model=str(parent / "base"), weights=weights, target_modules=targets)
        config = MethodConfig("metaicl", {}, backbone, PromptFormat())
        method = config.build()
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for p in method.learned().values():
                p.add_(0.1 * torch.randn(p.shape, generator=generator))
            before[f"{kind} scores"] = scores(method)
            before[f"{kind} logits"] = method.backbone.model(IDS).logits.numpy()
        heard = Heard()
        logging.getLogger("metaicl").addHandler(heard)
        save_method(method, config, parent / kind)
        logging.getLogger("metaicl").removeHandler(heard)
        said[kind] = heard.lines
    script = parent / "fresh.py"
    script.write_text(FRESH, encoding="utf-8")
    command = [
        sys.executable,
        str(script),
        str(parent),
        str(parent / "base"),
        str(Path(__file__).parent),
        str(ROOT / "tests" / "support"),
        str(ROOT),
    ]
    subprocess.run(command, check=True, timeout=300)
    return before, dict(np.load(parent / "found.npz")), said


class Heard(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_scores_and_logits_of_a_fresh_process_are_those_before_saving(compared, kind):
    before, found, _ = compared
    assert np.array_equal(before[f"{kind} scores"], found[f"{kind} scores"])
    assert np.allclose(before[f"{kind} logits"], found[f"{kind} logits"], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TIED)
def test_a_plain_merge_that_would_be_wrong_is_warned_of_and_the_note_says_how_it_is_right(compared, kind):
    before, found, said = compared
    assert np.abs(found[f"{kind} merged"] - before[f"{kind} logits"]).max() > 0.1  # the reason for the note
    assert np.allclose(found[f"{kind} noted"], before[f"{kind} logits"], atol=1e-4)
    (line,) = said[kind]
    assert re.search(rf"merging them in plain peft gives wrong logits\. .*{kind}/README.md says how", line)
    assert all(name in line for name in TIED[kind].split(",") if name != "q_proj")


@pytest.mark.slow
def test_adapters_whose_merge_is_right_are_not_warned_of(compared):
    before, found, said = compared
    assert said["layers"] == said["full"] == []
    assert np.allclose(found["layers merged"], before["layers logits"], atol=1e-4)
    assert "layers noted" not in found


def test_adapters_of_an_untied_output_layer_are_not_warned_of(tmp_path):
    model = tiny_model()
    model.config.tie_word_embeddings = False
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    backbone = Backbone(model, tiny_tokenizer(), tiny_config(target_modules="lm_head"))
    assert adapted_tied_layers(backbone.model) == []


@pytest.mark.parametrize("targets", TIED.values())
def test_every_adapter_of_a_tied_layer_learns(targets):
    config = MethodConfig("metaicl", {}, tiny_config(target_modules=targets), PromptFormat())
    method = config.build()
    with torch.no_grad():
        for p in method.learned().values():
            p.add_(0.05)
    loss, _ = method([EPISODE])
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in method.learned().values())
