"""Prefix tuning and prompt tuning: their virtual tokens, plain sequences after them, and peft."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from backbones import make_frozen
from on_toys import TASKS, scores
from tuned import EPISODE, VIRTUAL, made

from task_suites.formats.prompt_format import PromptFormat


@pytest.mark.parametrize("name", VIRTUAL)
def test_virtual_tokens_of_a_text_without_steps_are_that_text_before_the_prompt(name):
    method = made(name, form=PromptFormat(), steps=0, num_virtual_tokens=12)
    text = method.backbone.tokenizer.decode(method.virtual(EPISODE.task))
    assert text == "Say what it "
    before = method.form.of(EPISODE.task, None).branch(EPISODE.queries[0], "")[0].text
    ids = method.backbone.encode(f"{text}{before}")
    options = [method.backbone.encode(f" {o}") for o in EPISODE.queries[0].options]
    with torch.no_grad():
        lps = [torch.log_softmax(method.backbone.plain_logits([*ids, *o]), -1)[len(ids) - 1 : -1] for o in options]
    expected = [float(lp[range(len(o)), list(o)].mean()) for lp, o in zip(lps, options, strict=True)]
    found = method.adapt(EPISODE.task, EPISODE.support).scores([EPISODE.queries[0].hidden()])[0]
    assert np.allclose(found, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", VIRTUAL)
def test_virtual_tokens_do_not_depend_on_the_order_of_the_demonstrations(name):
    method = made(name, make_frozen(), steps=3)
    turned = EPISODE.support[::-1]
    assert method.order_free and np.array_equal(scores(method, EPISODE), scores(method, EPISODE, turned))


def test_virtual_tokens_are_repeated_to_their_number_or_drawn_by_it_alone():
    text, drawn = (made("prompt_tuning", num_virtual_tokens=90, init=init) for init in ("text", "sample_vocab"))
    once = text.backbone.encode("Say what it is. fruit, tool")
    assert text.virtual(EPISODE.task) == (once * 4)[:90]
    assert len(drawn.virtual(EPISODE.task)) == 90 and drawn.virtual(EPISODE.task) == drawn.virtual(TASKS["text"])


@pytest.mark.parametrize("name", VIRTUAL)
def test_peft_gives_the_same_logits_to_a_plain_sequence(name):
    from peft import PrefixTuningConfig, PromptTuningConfig, get_peft_model

    backbone = make_frozen()
    method = made(name, backbone, PromptFormat(), num_virtual_tokens=5)
    virtual, ids = method.virtual(EPISODE.task), list(backbone.encode("the pear is a fruit"))
    learned, generator = method.learned_prefix(EPISODE.task, virtual, None), torch.Generator().manual_seed(0)
    leaves = learned.leaves
    with torch.no_grad():
        for leaf in leaves:
            leaf.add_(0.3 * torch.randn(leaf.shape, generator=generator))
        own = backbone.model(
            input_ids=torch.tensor([ids]),
            position_ids=torch.arange(5, 5 + len(ids))[None],
            cache=learned.cache(),
        ).logits[0]
    kind = PrefixTuningConfig if name == "prefix_tuning" else PromptTuningConfig
    theirs = get_peft_model(make_frozen().model, kind(task_type="CAUSAL_LM", num_virtual_tokens=5))
    (weight,) = [p for n, p in theirs.named_parameters() if "prompt_encoder" in n]
    with torch.no_grad():  # peft holds a row of all layers' keys and values for each token
        flat = [leaf[0].transpose(0, 1).flatten(1) for leaf in leaves] if name == "prefix_tuning" else leaves
        weight.copy_(torch.cat(flat, 1))
        found = theirs(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids), dtype=torch.long)).logits
    assert torch.allclose(own, found[0, -len(ids) :], atol=1e-5)
