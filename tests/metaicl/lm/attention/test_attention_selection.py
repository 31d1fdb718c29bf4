"""The ways a model is run are chosen by questions and by numbers: a refusal has a reason, and a bug is raised."""

from __future__ import annotations

import logging

import pytest
import torch
from backbones import tiny_config
from families import FAMILIES, make, own_logprobs, tree, tree_logprobs, wrap

from metaicl.lm import backbone as backbone_module
from metaicl.lm import output_head
from metaicl.lm.attention import selection
from metaicl.lm.attention import tree as tree_attention
from metaicl.lm.attention.selection import HEAD, LAST_NETWORK
from metaicl.lm.backbone import Backbone
from metaicl.lm.choice import Choice, Fallback
from metaicl.lm.last_network import LastNetwork
from metaicl.lm.refused import Refused
from metaicl.lm.tiny import tiny_tokenizer
from task_suites.core.errors import UserError

# what each family refuses of the ways that are tried on CPU, and a word of the reason
REFUSALS: dict[str, dict[str, str]] = {
    "gemma2": {"tree": "runs as 'eager'", HEAD: "capped, scaled or from elsewhere"},
    "opt": {LAST_NETWORK: "no module called mlp"},
    "llama4": {LAST_NETWORK: "no module called mlp"},
    "gpt_neo": {"tree": "positions in the row", "dense": "positions in the row"},
    "bloom": {"tree": "no position_ids", "dense": "no position_ids", LAST_NETWORK: "something else than a row"},
    "falcon": {"tree": "log-probabilities are off"},
    "qwen3_next": {"tree": "running state", "dense": "running state"},
    "mamba": {"tree": "running state", "dense": "running state", LAST_NETWORK: "no module called mlp"},
}
BUGS = [TypeError, ValueError, AttributeError, RuntimeError, NotImplementedError, KeyError]
PLACES = {
    "tree attention": (tree_attention, "_attend"),
    "its plan": (backbone_module, "plan"),
    "output head": (output_head, "logits"),
    "last network": (LastNetwork, "at"),
    "the questions": (selection, "ask"),
}


@pytest.fixture(autouse=True)
def unreported():
    """Nothing has been reported yet."""
    selection.report.cache_clear()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_family_does_not_take_is_refused_with_its_reason(family):
    found = {fallback.way: fallback.reason for fallback in wrap(make(family)).fallbacks}
    expected = REFUSALS.get(family, {})
    assert found.keys() == expected.keys(), found
    for way, words in expected.items():
        assert words in found[way]


@pytest.mark.parametrize("bug", BUGS)
@pytest.mark.parametrize("place", PLACES)
def test_a_bug_of_our_own_is_raised_and_not_taken_for_a_refusal(place, bug, monkeypatch):
    def broken(*args: object, **kwargs: object) -> None:
        raise bug("a bug")

    monkeypatch.setattr(*PLACES[place], broken)
    with pytest.raises(bug, match="a bug"):
        wrap(make("llama"))


def test_a_bug_in_the_models_own_code_is_raised(monkeypatch):
    from transformers.models.llama.modeling_llama import LlamaMLP

    def broken(self: object, states: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(LlamaMLP, "forward", broken)
    with pytest.raises(RuntimeError, match="a bug"):
        wrap(make("llama"))


def test_numbers_that_differ_are_a_refusal_and_the_next_attention_is_taken(monkeypatch):
    exact = tree_attention._attend
    monkeypatch.setattr(tree_attention, "_attend", lambda *args: exact(*args) * 1.5)
    backbone = wrap(make("llama"))
    assert backbone.attention == "dense"
    (fallback,) = backbone.fallbacks
    assert fallback.way == "tree" and "off by" in fallback.reason
    assert (tree_logprobs(backbone, tree()) - own_logprobs(make("llama"), tree())).abs().max() < 1e-4


def test_numbers_that_are_none_are_a_refusal(monkeypatch):
    exact = tree_attention._attend
    monkeypatch.setattr(tree_attention, "_attend", lambda *args: exact(*args) * float("nan"))
    (fallback,) = wrap(make("llama")).fallbacks
    assert fallback.way == "tree" and "nan" in fallback.reason


def test_an_attention_that_is_asked_for_and_refused_names_the_reason():
    with pytest.raises(UserError, match=r"found its forward pass takes no position_ids"):
        wrap(make("bloom"), "dense")


def test_each_fallback_is_reported_once_with_its_reason(caplog):
    with caplog.at_level(logging.INFO, "metaicl"):
        for _ in range(2):
            backbone = wrap(make("bloom"))
            tree_logprobs(backbone, tree())
    lines = [record.getMessage() for record in caplog.records]
    assert len(backbone.fallbacks) == 3
    for fallback in backbone.fallbacks:
        assert len([line for line in lines if fallback.way in line and fallback.reason in line]) == 1


def test_a_model_that_takes_every_quick_way_reports_nothing(caplog):
    with caplog.at_level(logging.DEBUG, "metaicl"):
        assert wrap(make("llama")).fallbacks == ()
    assert not caplog.records


def test_a_refused_attention_leaves_the_model_as_it_was():
    backbone = wrap(make("gemma2"))
    before = backbone.attention, backbone.model_config._attn_implementation
    assert selection.refusal(backbone, "tree") is not None
    assert selection.refusal(backbone, "dense") is None
    assert (backbone.attention, backbone.model_config._attn_implementation) == before


@pytest.mark.parametrize("family", ["llama", "bloom"])
def test_a_choice_made_before_is_followed_without_a_forward_pass(family):
    first = wrap(make(family))
    settings = tiny_config(model=type(first.model).__name__, weights="frozen")
    again = Backbone(make(family), tiny_tokenizer(), settings, first.choice)
    assert again.tokens_run == 0 and again.choice == first.choice
    assert (again.head is None) is (first.head is None)
    assert (again.last.module is None) is (first.last.module is None)
    assert torch.equal(tree_logprobs(again, tree()), tree_logprobs(first, tree()))


def test_a_choice_is_followed_to_the_letter():
    plain = Choice("plain", False, False, (Fallback("tree", "it was said so"),))
    backbone = Backbone(make("llama"), tiny_tokenizer(), tiny_config(weights="frozen"), plain)
    assert backbone.attention == "plain" and backbone.head is None and backbone.last.module is None
    assert backbone.fallbacks == plain.fallbacks


def test_an_output_embedding_that_is_not_gone_through_once_is_refused():
    head = torch.nn.Linear(4, 9)
    with pytest.raises(Refused, match="0 times"), output_head.Tap(head):
        pass
    with pytest.raises(Refused, match="2 times"), output_head.Tap(head):
        head(head(torch.ones(1, 3, 4)).new_ones(1, 3, 4))


OTHERS: dict[str, tuple[dict[str, object], dict[str, str]]] = {  # of families that the small numbers let through
    "Jamba": ({"mamba_d_state": 4, "attn_layer_offset": 1, "attn_layer_period": 2}, {"tree": "running state"}),
    "NanoChat": ({}, {HEAD: "capped, scaled or from elsewhere"}),
    "Cohere": ({"logit_scale": 0.9999}, {HEAD: "capped, scaled or from elsewhere"}),
}


@pytest.mark.parametrize("family", OTHERS)
def test_what_small_numbers_do_not_show_is_known_by_a_question(family):
    """A state that is carried on, or a cap on logits, changes a random tiny model by less than rounding."""
    import transformers
    from families import GROUPED

    changes, expected = OTHERS[family]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**{**GROUPED, **changes})
    found = {f.way: f.reason for f in wrap(transformers.AutoModelForCausalLM.from_config(config).eval()).fallbacks}
    for way, words in expected.items():
        assert words in found[way], found
