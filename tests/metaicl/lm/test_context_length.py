"""One limit for all: no method and no way of running the model goes past the model's context."""

from __future__ import annotations

import pytest
import torch
from on_toys import FAST, build, tried
from toys import tag_task, text_task, toy_task

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.context_length import TooLong, check_length
from metaicl.lm.prompt_tree import PromptTree
from metaicl.lm.tiny import tiny_tokenizer
from metaicl.methods import METHODS, method_class
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example
from task_suites.task import Task

CONTEXT = 400  # tokens (bytes) of the tiny model in these tests: four demonstrations fit
LONG = "word " * 200
READ_NOTHING = ("random", "majority", "logistic_tfidf")
READ_NO_DEMONSTRATIONS = ("zero_shot", "multitask", "label_names")
ON_ENCODERS = {name for name in METHODS if "causal" not in method_class(name).backbones}  # tests of the encoder hold it
every_method = pytest.mark.parametrize("name", tried(sorted(set(METHODS) - {*READ_NOTHING, *ON_ENCODERS})))


@pytest.fixture(autouse=True)
def short_context(monkeypatch):
    monkeypatch.setattr(Backbone, "context", CONTEXT)


def lengthened(example: Example) -> Example:
    from dataclasses import replace

    if example.tokens is None:
        return replace(example, input=f"{LONG}{example.input}")
    more = tuple(LONG.split())
    tags = None if example.tags is None else (*("O" for _ in more), *example.tags)
    return replace(example, tokens=(*more, *example.tokens), tags=tags)


def drawn(task: Task):
    return EpisodeSampler(0, 4, 2).draw(task, "test", 0)


@every_method
def test_every_method_refuses_a_query_beyond_the_context_by_its_length(name):
    method, e = build(name, **FAST.get(name, {})), drawn(toy_task())
    predictor = method.adapt(e.task, e.support)
    queries = [q.hidden() for q in e.queries]
    assert len(predictor.answers(queries)) == 2
    with pytest.raises(TooLong, match=r"does not fit the model's context; found 1\d\d\d tokens; expected at most 400"):
        predictor.answers([queries[0], lengthened(queries[1])])
    assert len(predictor.answers(queries)) == 2  # and continues serving what fits


@pytest.mark.parametrize("name", tried(sorted(set(METHODS) - {*READ_NOTHING, *READ_NO_DEMONSTRATIONS, *ON_ENCODERS})))
def test_every_method_refuses_a_demonstration_beyond_the_context(name):
    method, e = build(name, **FAST.get(name, {})), drawn(toy_task())
    support = (lengthened(e.support[0]), *e.support[1:])
    with pytest.raises(TooLong, match="does not fit the model's context"):
        method.adapt(e.task, support).answers([q.hidden() for q in e.queries])


@pytest.mark.parametrize("make", [text_task, tag_task], ids=["text", "tags"])
@every_method
def test_texts_and_tags_keep_the_same_limit(name, make):
    method, e = build(name, **FAST.get(name, {})), drawn(make())
    if method.refusal(e.task):
        return
    predictor = method.adapt(e.task, e.support)
    with pytest.raises(TooLong, match="does not fit the model's context"):
        predictor.answers([lengthened(e.queries[0]).hidden()])


@pytest.mark.parametrize("name", tried(sorted(n for n in METHODS if method_class(n).meta_trained)))
def test_training_keeps_the_same_limit(name):
    method, e = build(name, **FAST.get(name, {})), drawn(toy_task())
    from dataclasses import replace

    with pytest.raises(TooLong, match="does not fit the model's context"):
        method([replace(e, queries=(lengthened(e.queries[0]),))])


def gpt2() -> Backbone:
    """A model with learned positions: it has none beyond its context."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=257, n_positions=CONTEXT, n_embd=32, n_layer=2, n_head=4)
    settings = BackboneConfig("tiny-gpt2", weights="frozen", dtype="float32", device="cpu")
    return Backbone(GPT2LMHeadModel(config), tiny_tokenizer(), settings)


@pytest.mark.parametrize("attention", ["learned", "rotary"])
def test_each_way_of_running_the_model_takes_the_whole_context_and_not_a_token_more(attention, frozen):
    backbone = gpt2() if attention == "learned" else frozen
    for length, fits in ((CONTEXT, True), (CONTEXT + 1, False)):
        ids, tree = [i % 200 for i in range(length)], PromptTree()
        last = tree.insert(-1, ids)[-1]
        ways = {
            "hidden": lambda ids=ids: backbone.hidden([ids, ids[:3]]),
            "plain": lambda ids=ids: backbone.plain_logits(ids),
            "prefix": lambda ids=ids: backbone.prefix(ids),
            "logprobs": lambda tree=tree, last=last: backbone.logprobs([tree], [[tree.insert(last, [1])[0]]]),
        }
        for name, run in ways.items():
            if fits:
                run()
            else:
                with pytest.raises(TooLong, match="401 tokens; expected at most 400"):
                    run()
                    pytest.fail(name)


def test_a_length_at_the_limit_passes_and_one_above_names_both_numbers():
    check_length(8, 8)
    with pytest.raises(
        TooLong, match=r"the query does not fit the model's context; found 9 tokens; expected at most 8\."
    ):
        check_length(9, 8, "the query")
