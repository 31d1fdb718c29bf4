"""Each model family scores a tree like its own plain forward pass, by whichever attention it can have."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch
from families import DYNAMIC, FAMILIES, make, make_talkative, own_logprobs, tree, tree_logprobs, wrap
from trees import plant

from metaicl.lm.attention import selection
from metaicl.lm.prompt_tree import PromptTree, pack
from metaicl.methods.scoring import PromptScorer
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

every_family = pytest.mark.parametrize("family", FAMILIES)


@every_family
def test_a_tree_scores_like_the_models_own_plain_sequences(family):
    backbone, expected = wrap(make(family)), own_logprobs(make(family), tree())
    assert backbone.attention == FAMILIES[family][2]
    assert backbone.shares(pack([tree()]).depth) is (backbone.attention != "plain")
    assert (tree_logprobs(backbone, tree()) - expected).abs().max() < 1e-4
    if backbone.attention == "tree":
        dense = wrap(make(family), "dense")
        assert (tree_logprobs(dense, tree()) - expected).abs().max() < 1e-4


@every_family
@torch.no_grad()
def test_hidden_states_of_every_layer_are_the_models_own(family):
    backbone, ids = wrap(make(family)), tree().tokens[:20]
    own = make(family)(torch.tensor([ids]), output_hidden_states=True).hidden_states
    if family == "mamba":  # it counts from the first layer's end, and not its embeddings
        own = (make(family).get_input_embeddings()(torch.tensor([ids])), *own[:-2], own[-1])
    others = [ids[:1], ids[3:9], ids[::-1] * 9]
    for layer, expected in enumerate(own):
        assert torch.allclose(backbone.hidden([ids], layer)[0], expected[0].float(), atol=1e-5), layer
        among = backbone.hidden([*others, ids], layer)
        assert [len(states) for states in among] == [1, 6, 180, 20]
        assert torch.allclose(among[-1], expected[0].float(), atol=1e-5), layer
    (last,) = backbone.hidden([ids])
    assert torch.equal(last, backbone.hidden([ids], len(own) - 1)[0])


@every_family
@torch.no_grad()
def test_the_last_network_runs_at_the_places_that_are_asked_for_and_scores_stay(family):
    """Bloom's adds the residual itself, Llama 4's and OPT's have other names, and Mamba has none: these run whole."""
    backbone, whole = wrap(make(family)), tree()
    wanted = list(range(100, len(whole), 7))
    places = {whole.parent[n] for n in wanted}
    found = own_logprobs(make(family), whole)[[n - 1 for n in wanted]]
    assert (backbone.logprobs([whole], [wanted]) - found).abs().max() < 1e-4
    network = backbone.last.module
    assert (network is None) is (family in {"bloom", "llama4", "opt", "mamba"})
    if network is not None and backbone.attention != "plain":
        sizes: list[int] = []
        network.register_forward_hook(lambda module, args, output: sizes.append(output.shape[1]))
        backbone.logprobs([whole], [wanted])
        backbone.prefix(whole.tokens[:20])
        backbone.hidden([whole.tokens[:20]])
        assert sizes == [len(places), 0, 20]


@pytest.mark.parametrize("family", [f for f, (_, _, attention) in FAMILIES.items() if attention != "plain"])
def test_branches_behind_a_cached_prefix_score_like_plain_sequences(family):
    backbone = wrap(make(family))
    whole, trunk = tree(), tree().tokens[:20]
    rest = PromptTree()
    for leaf in sorted(set(range(len(whole))) - set(whole.parent)):
        rest.insert(-1, [whole.tokens[n] for n in whole.path(leaf)[20:]])
    wanted = [n for n, above in enumerate(rest.parent) if above >= 0]
    with torch.no_grad():
        row = pack([rest], start=len(trunk))
        found = backbone.row_logprobs(row, [rest], [wanted], past=backbone.prefix(trunk))
    assert len(rest) == len(whole) - 20 and row.depth == pack([whole]).depth
    own = own_logprobs(make(family), whole)
    expected = {tuple(whole.tokens[n] for n in whole.path(i + 1)): float(v) for i, v in enumerate(own)}
    paths = [(*trunk, *(rest.tokens[n] for n in rest.path(node))) for node in wanted]
    assert found.tolist() == pytest.approx([expected[path] for path in paths], abs=1e-4)


@pytest.mark.parametrize("family", ["mistral", "gemma2", "gemma3"])
def test_trees_deeper_than_a_sliding_window_run_as_plain_sequences(family):
    backbone, own = wrap(make(family, sliding_window=64)), make(family, sliding_window=64)
    assert backbone.window == 64 and backbone.attention == FAMILIES[family][2]
    assert backbone.shares(64) and not backbone.shares(65)
    assert (tree_logprobs(backbone, tree()) - own_logprobs(own, tree())).abs().max() < 1e-4
    shallow = plant((20, [(3, []), (4, [(2, []), (1, [])]), (40, [(2, []), (1, [])]), *[(9, [])] * 30]))
    before = backbone.tokens_run
    assert (tree_logprobs(backbone, shallow) - own_logprobs(own, shallow)).abs().max() < 1e-4
    assert backbone.tokens_run - before < len(shallow)  # shared, although the row is longer than the window


def test_a_window_that_no_layer_has_does_not_count():
    assert wrap(make("qwen2", sliding_window=64, use_sliding_window=False)).window is None
    assert wrap(make("llama")).window is None


def test_a_rotation_that_depends_on_the_length_shares_prefixes_within_the_original_context_alone():
    dynamic = wrap(make("llama", max_position_embeddings=64, rope_parameters=DYNAMIC))
    assert dynamic.shares(64) and not dynamic.shares(65)


LOCAL: dict[str, dict[str, Any]] = {
    "gpt_neo": {"window_size": 64},
    "llama4": {"attention_chunk_size": 64},
}


@pytest.mark.parametrize("family", LOCAL)
def test_other_ways_in_which_length_matters_score_like_plain_sequences(family):
    found = tree_logprobs(wrap(make(family, **LOCAL[family])), tree())
    assert (found - own_logprobs(make(family, **LOCAL[family]), tree())).abs().max() < 1e-4


@pytest.mark.parametrize(
    ("family", "attention"),
    [
        ("mamba", "dense"),
        ("mamba", "tree"),
        ("bloom", "dense"),
        ("bloom", "flex"),
        ("gemma2", "tree"),
        ("gpt_neo", "tree"),
    ],
)
def test_an_attention_that_the_model_cannot_have_is_refused(family, attention):
    with pytest.raises(UserError, match=rf"does not run with the attention '{attention}' on cpu.*at auto"):
        wrap(make(family), attention)


def test_plain_sequences_are_run_where_they_are_asked_for(caplog):
    with caplog.at_level(logging.WARNING, "metaicl"):
        backbone = wrap(make("llama"), "plain")
    assert backbone.attention == "plain" and not caplog.records
    assert (tree_logprobs(backbone, tree()) - own_logprobs(make("llama"), tree())).abs().max() < 1e-4


def test_the_fallback_is_said_once(caplog):
    selection.report.cache_clear()
    with caplog.at_level(logging.WARNING, "metaicl"):
        backbone = wrap(make("mamba"))
        for _ in range(3):
            tree_logprobs(backbone, plant((3, [(2, []), (2, [])])))
    said = [record.getMessage() for record in caplog.records if "takes no tree mask" in record.getMessage()]
    assert len(said) == 1 and "MambaForCausalLM" in said[0]


@pytest.mark.parametrize("family", ["gpt2", "mamba"])
def test_scores_and_texts_behind_demonstrations_do_not_depend_on_the_attention(family):
    from plain_scores import episode, plain_score
    from toys import text_task, toy_task

    e, backbone = episode(toy_task()), wrap(make(family))
    plain = backbone if backbone.attention == "plain" else wrap(make(family), "plain")
    found = PromptScorer(backbone, PromptFormat(), e.task, e.support[:2]).scores(e.queries)
    for query, scores in zip(e.queries, found, strict=True):
        expected = [plain_score(plain, PromptFormat(), e.task, e.support[:2], query, o) for o in query.options]
        assert scores.tolist() == pytest.approx(expected, abs=1e-4)
    t = episode(text_task(), k=1)
    talking = [wrap(make_talkative(family), attention) for attention in (backbone.attention, "plain")]
    texts = [PromptScorer(b, PromptFormat(), t.task, t.support).generate(t.queries, 5) for b in talking]
    assert texts[0] == texts[1]
    assert family == "mamba" or len(set(texts[0])) > 1  # Mamba runs as plain sequences in both
