"""A prompt's states: they are run once, end as they were, and serve another prompt that begins alike."""

from __future__ import annotations

import pytest
import torch
from on_toys import TASKS

from metaicl.methods.cached_prompt import CachedPrompt
from metaicl.testing import draw
from task_suites.formats.prompt_format import PromptFormat

EPISODE = draw(TASKS["options"], k=4, queries=2)
FORM = PromptFormat(instruction=True)


@pytest.fixture
def prompt(frozen) -> CachedPrompt:
    return CachedPrompt(frozen, FORM, EPISODE.task, EPISODE.support)


def tokens_of(prompt: CachedPrompt) -> int:
    """Run the prompt's prefix, and return the tokens that went through the model for it."""
    before = prompt.backbone.tokens_run
    with prompt.states(prompt.prefix(prompt.fit())) as past:
        assert past.get_seq_length() == len(prompt.prefix(prompt.fit()))
    return prompt.backbone.tokens_run - before


def test_a_prefix_runs_once(prompt):
    assert tokens_of(prompt) == len(prompt.prefix(prompt.fit())) and tokens_of(prompt) == 0
    assert prompt.state_bytes > 0


def test_what_is_added_to_the_states_is_taken_back(prompt):
    prefix = prompt.prefix(prompt.fit())
    with prompt.states(prefix) as past:
        before = [layer.keys.clone() for layer in past.layers]
        for layer in past.layers:
            layer.keys = torch.cat([layer.keys, layer.keys[:, :, :2]], 2)
            layer.values = torch.cat([layer.values, layer.values[:, :, :2]], 2)
    with prompt.states(prefix) as past:
        assert all(torch.equal(layer.keys, keys) for layer, keys in zip(past.layers, before, strict=True))


def test_states_are_made_again_after_an_error(prompt):
    first = tokens_of(prompt)
    with pytest.raises(RuntimeError), prompt.states(prompt.prefix(prompt.fit())):
        raise RuntimeError("no memory")
    assert tokens_of(prompt) == first


def test_a_prompt_of_fewer_demonstrations_begins_with_the_states_that_are_there(prompt):
    tokens_of(prompt)
    fewer = prompt.given(EPISODE.support[:3])
    assert tokens_of(fewer) == 0 and fewer.support == EPISODE.support[:3] and prompt.support == EPISODE.support


def test_states_of_other_weights_are_not_taken(prompt, frozen):
    first = tokens_of(prompt)
    same = CachedPrompt(frozen, FORM, EPISODE.task, EPISODE.support)
    same.continue_from(prompt)
    assert tokens_of(same) == 0
    other = CachedPrompt(frozen, FORM, EPISODE.task, EPISODE.support, dict(frozen.model.named_parameters()))
    other.continue_from(prompt)
    assert tokens_of(other) == first
