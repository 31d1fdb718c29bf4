"""A served model gives the log-probabilities of a tree that a backbone in this process gives."""

from __future__ import annotations

import shutil

import pytest
import torch
from backbones import tiny_config
from completion_stand_in import standing_in
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from metaicl.lm import served
from metaicl.lm.backbone import Backbone
from metaicl.lm.completion_server import CompletionServer
from metaicl.lm.prompt_tree import PromptTree
from metaicl.lm.search import plain_search
from metaicl.lm.served import ServedModel
from metaicl.lm.tiny import _bytes
from task_suites.core.errors import UserError

TOKENS = st.integers(1, 40)


@pytest.fixture(scope="module")
def here(sharp_folder):
    return Backbone.load(tiny_config(model=str(sharp_folder), weights="frozen"))


@pytest.fixture(scope="module")
def there(sharp_folder, server):
    return ServedModel(tiny_config(model=str(sharp_folder)), CompletionServer(server.address))


@given(
    st.lists(TOKENS, min_size=1, max_size=6),
    st.lists(st.lists(TOKENS, min_size=1, max_size=4), min_size=1, max_size=4),
    st.booleans(),
)
def test_the_log_probability_of_each_wanted_node_is_that_of_the_model_here(here, there, prefix, branches, named):
    tree = PromptTree()
    last = tree.insert(-1, prefix)[-1]
    wanted = sorted({node for branch in branches for node in tree.insert(last, branch)})[::-1]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(served, "NAMED_COST", 0 if named else 1 << 30)
        found = there.logprobs([tree, tree], [wanted, wanted[:1]])
    with torch.no_grad():
        own = here.logprobs([tree, tree], [wanted, wanted[:1]])
    assert found.tolist() == pytest.approx(own.tolist(), abs=1e-4)


def test_requests_for_named_tokens_are_taken_where_they_cost_less_than_whole_prompts(there, server):
    tree = PromptTree()
    last = tree.insert(-1, range(1, 100))[-1]
    options = [tree.insert(last, [3, 4]), tree.insert(last, [5, 6])]
    for wanted, named in (([o[0] for o in options], True), ([n for o in options for n in o], True)):
        before = len(server.bodies)
        there.logprobs([tree], [wanted])
        new = [body for body in server.bodies[before:] if body.get("logprob_token_ids") != [1, 2]]
        assert {"logprob_token_ids" in body for body in new} == {named}
    before = len(server.bodies)
    there.logprobs([tree], [range(1, 100)])  # each token of one prompt
    assert not any("logprob_token_ids" in body for body in server.bodies[before:])


def test_texts_are_those_of_the_greedy_search_here(here, there):
    questions = [list(range(5 + i, 12 + i)) for i in range(5)]
    found = plain_search(there, [3, 1], questions, 9, 1)
    assert found == plain_search(here, [3, 1], questions, 9, 1)
    assert any(found)
    with pytest.raises(UserError, match="beam search needs the model in this process"):
        plain_search(there, [3, 1], questions, 9, 2)


def test_a_token_that_has_nothing_before_it_and_weights_of_ones_own_are_refused(there):
    tree = PromptTree.of_path([1, 2])
    with pytest.raises(UserError, match="has nothing before it"):
        there.logprobs([tree], [[0, 1]])
    with pytest.raises(UserError, match="weights of its own"):
        there.logprobs([tree], [[1]], {"weight": torch.zeros(1)})


def with_other_letters(folder, model):
    """The same weights beside a tokenizer that numbers the letters from one more."""
    shutil.copytree(model, folder)
    made = PreTrainedTokenizerFast(tokenizer_object=_bytes("<pad>", "<end>"), eos_token="<end>")
    made.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("plain", [False, True], ids=["returns ids", "returns texts"])
def test_a_server_with_other_tokens_is_refused(sharp_folder, tmp_path, plain):
    refused = pytest.raises(UserError, match=r"has other tokens than .*metaicl export")
    with standing_in(with_other_letters(tmp_path / "other", sharp_folder), plain=plain) as other, refused:
        ServedModel(tiny_config(model=str(sharp_folder)), CompletionServer(other.address))


def test_a_server_that_tells_texts_only_is_compared_by_them(sharp_folder):
    with standing_in(sharp_folder, plain=True) as plain:
        model = ServedModel(tiny_config(model=str(sharp_folder)), CompletionServer(plain.address))
        assert not model.server.names_tokens and not model.shares(1) and model.trainable() == {}
        tree = PromptTree.of_path(range(1, 200))
        assert model.logprobs([tree], [[150]]).shape == (1,)
        assert model.context == 32768
