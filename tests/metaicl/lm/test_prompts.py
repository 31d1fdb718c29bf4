"""A prompt's tokens, with the positions of its demonstrations and answers, are those of its text; what does not fit is
dropped whole or refused."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace

import pytest
from backbones import make_frozen
from hypothesis import given
from hypothesis import strategies as st
from tokenizer_kinds import KINDS
from toys import toy_task

from examples import examples
from metaicl.lm.context_length import TooLong
from metaicl.lm.prompt_tree import PromptTree
from metaicl.lm.prompts import Branch, EpisodeTree, Prompt, episode_tree, fit, joined, prompt_length
from metaicl.lm.text_encoder import TextEncoder
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat

TASK, FORM = toy_task(), PromptFormat()
SUPPORT = TASK.examples("train")[:4]
QUERY = TASK.examples("test")[0]
BOUND = FORM.of(TASK, None)
BRANCHES = [[BOUND.branch(QUERY, option) for option in QUERY.options]]


@pytest.fixture(scope="module")
def backbone():
    return make_frozen()


def text_of(backbone, ids) -> str:
    return backbone.tokenizer.decode(list(ids))


def test_a_prompt_and_a_branch_have_the_tokens_of_the_whole_text_and_the_answer_is_scored(backbone):
    prompt = Prompt(backbone, FORM, TASK, SUPPORT)
    for segments, option in zip(BRANCHES[0], QUERY.options, strict=True):
        branch = prompt.branch(segments)
        whole = backbone.tokenizer(prompt.text + joined(segments), add_special_tokens=False).input_ids
        assert [*prompt.stable, *branch.ids] == whole
        assert text_of(backbone, branch.ids[branch.scored :]).strip() == option


def test_spans_are_those_of_each_demonstration_and_of_its_answer(backbone):
    prompt = Prompt(backbone, FORM, TASK, SUPPORT)
    question = joined(BRANCHES[0][0][:-1])
    ids = [*prompt.stable, *prompt.rest(question)]
    answers = [text_of(backbone, ids[span.start : span.stop]).strip() for span in prompt.answer_spans(question)]
    assert answers == [example.output for example in SUPPORT]
    shown = [text_of(backbone, prompt.stable[span.start : span.stop]) for span in prompt.demonstration_spans()]
    assert "".join(shown) == prompt.text.removeprefix(joined(BOUND.opening(TASK)))[: len("".join(shown))]
    assert all(example.input in text for example, text in zip(SUPPORT, shown, strict=True))


def test_a_branch_is_inserted_below_its_node_and_gives_the_nodes_of_the_scored_text():
    tree = PromptTree.of_path([7, 8])
    assert Branch((1, 2, 3), 1).insert(tree, 1) == [3, 4]
    assert Branch((1, 2, 4), 2).insert(tree, 1) == [5]  # the first two tokens are there
    assert tree.tokens == [7, 8, 1, 2, 3, 4] and tree.parent == [-1, 0, 1, 2, 3, 3]


@pytest.mark.parametrize("reserved", [0, 5])
def test_whole_demonstrations_are_dropped_from_the_end_until_the_longest_branch_fits(backbone, monkeypatch, reserved):
    lengths = [prompt_length(backbone, FORM, TASK, SUPPORT[:k], BRANCHES, reserved) for k in range(5)]
    assert lengths == sorted(set(lengths))
    for kept, length in enumerate(lengths):
        monkeypatch.setattr(type(backbone), "context", length)
        fitted = fit(backbone, FORM, TASK, SUPPORT, BRANCHES, "drop", reserved)
        assert fitted.dropped == len(SUPPORT) - kept
        assert fitted.prompt.text == Prompt(backbone, FORM, TASK, SUPPORT[:kept]).text


def test_a_prompt_one_token_too_long_is_refused_with_the_way_out_that_would_help(backbone, monkeypatch):
    whole, query = (prompt_length(backbone, FORM, TASK, support, BRANCHES) for support in (SUPPORT, ()))
    monkeypatch.setattr(type(backbone), "context", whole - 1)
    with pytest.raises(TooLong, match=rf"4 demonstrations[\s\S]*{whole} tokens[\s\S]*fewer or shorter"):
        fit(backbone, FORM, TASK, SUPPORT, BRANCHES)
    monkeypatch.setattr(type(backbone), "context", query - 1)
    for overflow in ("refuse", "drop"):  # fewer demonstrations do not help a query that is too long by itself
        with pytest.raises(TooLong, match=rf"the longest query[\s\S]*{query} tokens[\s\S]*Shorten it"):
            fit(backbone, FORM, TASK, SUPPORT, BRANCHES, overflow)


def test_an_episodes_tree_holds_the_demonstrations_once_and_scores_each_node_once(backbone):
    episode = episode_tree(backbone, FORM, TASK, SUPPORT, BRANCHES * 2, supervise_shown=True)
    prompt = Prompt(backbone, FORM, TASK, SUPPORT)
    branches = {prompt.branch(segments).ids for segments in BRANCHES[0]}
    assert len(episode.tree) <= len(prompt.stable) + sum(map(len, branches))  # the same query twice adds nothing
    spans = episode.demonstration_spans
    assert [text_of(backbone, [episode.tree.tokens[n] for n in nodes]).strip() for nodes in spans] == [
        example.output for example in SUPPORT
    ]
    assert EpisodeTree(episode.tree, [[3, 1]], [[[1, 2], [5]], [[2]]], 0).scored() == [1, 2, 3, 5]


made = cache(lambda kind: KINDS[kind]())
WORDS = st.text(st.sampled_from("abEé\u0301x\u200b\x07日1. "), min_size=1, max_size=4).map(str.strip).filter(bool)


@examples(60)
@given(st.sampled_from(sorted(KINDS)), st.tuples(WORDS, WORDS).filter(lambda pair: len(set(pair)) == 2), st.booleans())
def test_options_are_scored_only_where_the_tokenizer_parts_them_and_leaves_something_of_each(kind, options, channel):
    tokenizer, form = made(kind), PromptFormat(channel=channel)
    backbone = SimpleNamespace(tokenizer=tokenizer, texts=TextEncoder(tokenizer), context=10_000)
    query = Example("the soup", options[0], options)
    segments = [[form.branch(query, option) for option in options]]
    whole = [tuple(tokenizer(joined(each), add_special_tokens=False).input_ids) for each in segments[0]]
    bare = [tokenizer(option, add_special_tokens=False).input_ids for option in options]
    try:
        (branches,) = fit(backbone, form, TASK, (), segments).branches
    except UserError as error:
        assert whole[0] == whole[1] or ([] in bare and not channel)
        assert any(ascii(option) in str(error) for option in options) and "other words" in str(error)
        with pytest.raises(UserError):
            prompt_length(backbone, form, TASK, (), segments)
    else:
        assert whole[0] != whole[1] and all(branch.scored < len(branch.ids) for branch in branches)


def test_a_question_by_itself_and_one_answer_need_no_other_to_differ_from(backbone):
    question = [[[BOUND.question(QUERY)]]]
    assert fit(backbone, FORM, TASK, SUPPORT, question).branches[0][0].ids
    assert fit(backbone, FORM, TASK, SUPPORT, [[BRANCHES[0][0]], [BRANCHES[0][0]]]).branches
