"""Texts and words as vectors: which states they are, which items are kept, and that each is its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from embedded import FORM
from hypothesis import given
from hypothesis import strategies as st
from on_toys import TASKS, answers
from toys import tag_task

from examples import examples
from metaicl.methods.in_context.items import class_balanced_subset, item_labels, normalised
from metaicl.methods.metric.protonet import ProtoNet
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat


@given(st.integers(1, 40), st.integers(0, 10_000))
@examples(30)
def test_items_are_kept_class_by_class_in_turn_whatever_their_order(most, seed):
    support = list(EpisodeSampler(0, 6, 1).draw(tag_task(), "test", 0).support)
    names = [(e.content, i) for e in support for i in range(len(e.tokens))]
    labels, kept = item_labels(support), class_balanced_subset(support, most)
    assert kept == sorted(set(kept)) and len(kept) == min(most, len(labels))
    counts = Counter(labels[i] for i in kept)
    short = [c for c, n in Counter(labels).items() if counts[c] < n]
    assert not short or max(counts.values()) <= min(counts[c] for c in short) + 1
    shuffled = [support[i] for i in np.random.default_rng(seed).permutation(len(support))]
    again = [(e.content, i) for e in shuffled for i in range(len(e.tokens))]
    assert {again[i] for i in class_balanced_subset(shuffled, most)} == {names[i] for i in kept}


def test_a_layer_is_a_share_of_the_depth_or_a_number_and_must_exist(frozen):
    depth = frozen.model_config.num_hidden_layers
    for layer, expected in ((0.8, round(0.8 * depth)), (-1, depth), (1, 1), (0, 0), (-depth - 1, 0)):
        assert ProtoNet(frozen, FORM, ProtoNet.Config(layer=layer)).embed.layer == expected
    with pytest.raises(UserError, match="no such layer"):
        ProtoNet(frozen, FORM, ProtoNet.Config(layer=depth + 1))


def test_a_text_is_the_mean_of_its_normalised_states_behind_a_token_that_begins_it(frozen):
    method, text = ProtoNet(frozen, FORM, ProtoNet.Config(layer=1)), "the plum is ripe"
    first = method.embed.first
    (states,) = frozen.hidden([(*first, *frozen.encode(text))], 1)
    (found,) = method.embed([Example(text, "a", ("a", "b"))])
    assert len(first) == 1 and torch.allclose(found, normalised(normalised(states[1:]).mean(0)), rtol=0, atol=1e-5)


@pytest.mark.parametrize("twice", [False, True])
def test_a_word_is_the_state_of_its_last_token_and_sees_its_right_only_where_the_sentence_is_given_twice(frozen, twice):
    method = ProtoNet(frozen, FORM, ProtoNet.Config(twice=twice))
    first = Example(tokens=("a", "ripe", "plum"), tags=("O", "O", "O"))
    other = replace(first, tokens=("a", "ripe", "saw"))
    one, two = method.embed([first]), method.embed([other])
    assert len(one) == 3 and not torch.allclose(one[2], two[2], rtol=0, atol=1e-4)
    assert torch.allclose(one[:2], two[:2], rtol=0, atol=1e-4) != twice


def test_embeddings_are_computed_once_for_a_frozen_backbone(frozen):
    method, e = ProtoNet(frozen, PromptFormat(), ProtoNet.Config()), draw(TASKS["options"])
    answers(method, e)
    before = frozen.tokens_run
    answers(method, e)
    assert frozen.tokens_run == before


def test_embeddings_do_not_depend_on_what_is_embedded_beside_them(frozen):
    method = ProtoNet(frozen, PromptFormat(), ProtoNet.Config())
    support = draw(TASKS["options"], k=5).support
    alone = torch.cat([ProtoNet(frozen, PromptFormat(), ProtoNet.Config()).embed([e]) for e in support])
    frozen.shared.clear()
    assert torch.allclose(method.embed(support), alone, atol=1e-6)
