"""Where a tokenizer loses letters, scores are finite and tell the options apart, or are refused: no answer is made up.

The tokenizer lowers case, drops accents and characters of no width, and has one token for all unknown characters.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from backbones import tiny_config
from on_toys import FAST, built, tried
from tokenizer_kinds import word_piece
from transformers import GPT2Config, GPT2LMHeadModel

from metaicl.lm.backbone import Backbone
from metaicl.methods import METHODS, method_class
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.task import Task

UNTRAINED = [n for n in METHODS if not method_class(n).meta_trained and "causal" in method_class(n).backbones]
CHANCE = ("random", "majority")  # these look at no text
INPUTS = ("lovely food", "cold soup", "friendly people", "rude waiter")
LOST = "\u200b\x07"  # a text of which no token is left


@pytest.fixture(scope="module")
def lossy() -> Backbone:
    tokenizer = word_piece()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(
            GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, bos_token_id=1, eos_token_id=2)
        )
    return Backbone(model, tokenizer, tiny_config(weights="lora"))


def scores(name: str, backbone: Backbone, labels: tuple[str, str], inputs, asked) -> np.ndarray | None:
    """Return the scores of queries; None where they are refused by one error that names what is lost."""
    support = [Example(text, labels[i % 2], labels) for i, text in enumerate(inputs)]
    task = Task("of the test", "classification", lambda part: support, labels=labels)
    try:
        return np.array(
            built(name, backbone, **FAST.get(name, {}))
            .adapt(task, support)
            .scores([Example(t, None, labels) for t in asked])
        )
    except UserError as error:
        assert "tokens" in str(error) or "no token" in str(error)
        return None


@pytest.mark.parametrize("name", tried(UNTRAINED))
@pytest.mark.parametrize("labels", [("é", "e"), ("😀", "日")], ids=ascii)
def test_labels_that_the_tokenizer_does_not_part_are_told_apart_or_refused(lossy, name, labels):
    found = scores(name, lossy, labels, INPUTS, INPUTS)
    if found is not None:
        assert np.isfinite(found).all()
        assert name in CHANCE or (found[:, 0] != found[:, 1]).any()  # two experts may cancel out


@pytest.mark.parametrize("name", tried(UNTRAINED))
@pytest.mark.parametrize("place", ["demonstration", "query"])
def test_a_text_without_a_token_is_answered_with_finite_scores_or_refused(lossy, name, place):
    inputs = (LOST, *INPUTS[1:]) if place == "demonstration" else INPUTS
    found = scores(name, lossy, ("good", "bad"), inputs, INPUTS[:1] if place == "demonstration" else [LOST])
    assert found is None or np.isfinite(found).all()
