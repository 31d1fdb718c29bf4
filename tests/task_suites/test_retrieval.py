"""Retrieved and fixed demonstrations: the nearest ones, never the query's own copy, a function of the item only."""

from __future__ import annotations

import random

import numpy as np
import pytest
from draws import KINDS, letters, retrieved
from helpers import in_fresh_process
from hypothesis import given
from hypothesis import strategies as st
from scripted import Scripted, scripted
from toys import choice_task, tag_task, text_task, toy_task

from eval.answering import protocol_episode, protocol_episodes
from eval.config import Protocol
from eval.harness import Comparison
from examples import examples
from metaicl.cli.main import parse
from metaicl.methods.predictor import Answer
from task_suites.core.errors import UserError
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example
from task_suites.retrieval import Retriever, retrieved_episodes
from task_suites.store import open_store, write_store
from task_suites.task import Task, TaskSuite

TOPICS = {
    "music": ["the violin sang", "a violin and a cello", "drums and a cello", "an old violin sang"],
    "sea": ["waves hit the ship", "a ship on high waves", "the harbour and the ship", "waves in the harbour"],
}
QUERY = Example("violin and cello", "music", tuple(TOPICS))
relaxed = examples(30)


def topics(train: list[Example] | None = None) -> Task:
    made = [Example(text, topic, tuple(TOPICS)) for topic, texts in TOPICS.items() for text in texts]
    test = [Example(f"{e.input} again", e.output, e.options) for e in made]
    load = {"train": train or made, "test": test}.__getitem__
    return Task("topics", "classification", load, labels=tuple(TOPICS))


def inputs(examples) -> list[str]:
    return [e.input for e in examples]


@pytest.mark.parametrize("by", KINDS)
@pytest.mark.parametrize("make", [toy_task, choice_task, text_task, tag_task, topics])
def test_each_query_gets_k_other_examples_the_nearest_first_and_nested(by, make):
    task = make()
    retriever = Retriever(task, by)
    for query in (*task.examples("test")[:5], *task.examples("train")[:5]):
        found = retriever.support(query, 6)
        assert len({e.content for e in found}) == 6 and query.content not in {e.content for e in found}
        assert set(found) <= set(task.examples("train")) and retriever.support(query, 2) == found[:2]
        near = retriever._similarity.to_text(query.text)
        place = {e.content: i for i, e in enumerate(task.examples("train")[p] for p in retriever.places)}
        scores = [near[place[e.content]] for e in found]
        rest = [near[i] for content, i in place.items() if content not in {query.content, *(e.content for e in found)}]
        assert scores == sorted(scores, reverse=True) and min(scores) >= max(rest)


def test_bm25_finds_the_texts_with_the_querys_rare_words():
    found = inputs(Retriever(topics(), "bm25").support(QUERY, 4))
    assert found[0] == "a violin and a cello" and set(found) <= {*TOPICS["music"], "the harbour and the ship"}


def test_an_embedding_finds_the_texts_with_the_nearest_vectors():
    task = topics()
    vectors, query = letters(inputs(task.examples("train"))), letters([QUERY.input])[0]
    cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    expected = [task.examples("train")[i].input for i in np.argsort(-cosines)[:5]]
    assert inputs(Retriever(task, letters).support(QUERY, 5)) == expected


@pytest.mark.parametrize("by", KINDS)
def test_a_disguised_copy_of_the_query_is_never_shown(by):
    copy, other = (
        Example("  VIOLIN and\tcello", "sea", tuple(TOPICS)),
        Example("Violin and  cello", "music", tuple(TOPICS)),
    )
    task = topics([copy, *topics().examples("train"), other])
    retriever = Retriever(task, by)
    assert all(e.content != QUERY.content for e in retriever.support(QUERY, 8))
    with pytest.raises(UserError, match=r"k=9 asks for more demonstrations than there are; found 8 distinct"):
        retriever.support(QUERY, 9)


@pytest.mark.parametrize("by", KINDS)
def test_a_content_that_occurs_twice_is_shown_once(by):
    train = topics().examples("train")
    retriever = Retriever(topics([*train, *(Example(e.input.upper(), e.output, e.options) for e in train)]), by)
    assert retriever.support(QUERY, 8) == Retriever(topics(), by).support(QUERY, 8)


@pytest.mark.parametrize("by", KINDS)
def test_diversity_avoids_examples_that_are_alike(by):
    """Three near copies of the nearest text: the nearest takes them all, a diverse support set one."""
    texts = ("cello and violin", "violin, cello and", "and violin cello")
    copies = [Example(text, "music", tuple(TOPICS)) for text in texts]
    task = topics([*topics().examples("train"), *copies])
    assert set(Retriever(task, by).support(QUERY, 3)) == set(copies)
    diverse = Retriever(task, by, diversity=0.6).support(QUERY, 3)
    assert len(set(diverse) & set(copies)) == 1 and diverse[0] in copies
    assert Retriever(task, by, diversity=0.6).support(QUERY, 2) == diverse[:2]


@pytest.mark.parametrize("by", KINDS)
def test_maximal_marginal_relevance_takes_what_its_definition_says(by):
    task, diversity = toy_task(size=30), 0.4
    retriever = Retriever(task, by, diversity)
    query = task.examples("test")[3]
    near, taken = retriever._similarity.to_text(query.text), []
    for e in retriever.support(query, 7):
        values = {}
        for i, content in enumerate(retriever.contents):
            if i not in taken and content != query.content:
                alike = max((retriever._similarity.to_place(j)[i] for j in taken), default=0.0)
                values[i] = (1 - diversity) * near[i] - diversity * alike
        chosen = retriever.contents.index(e.content)
        assert values[chosen] == pytest.approx(max(values.values()))
        taken.append(chosen)


def test_equals_are_drawn_by_the_seed_and_not_always_the_same():
    task = toy_task()
    stranger = Example("entirely unknown words", "fruit", task.labels)
    found = [tuple(inputs(Retriever(task, "bm25", seed=seed).support(stranger, 4))) for seed in (0, 0, 1, 2)]
    assert found[0] == found[1] and len(set(found)) == 3


@pytest.mark.parametrize("by", KINDS)
@relaxed
@given(st.integers(0, 10**6), st.randoms(use_true_random=False), st.sampled_from([0.0, 0.5]))
def test_what_is_retrieved_depends_on_the_item_and_not_on_its_neighbours_or_their_order(by, seed, rng, diversity):
    task = toy_task()
    episodes = retrieved_episodes(EpisodeSampler(seed, 4, 6), task, "test", 1, Retriever(task, by, diversity))
    fewer = retrieved_episodes(EpisodeSampler(seed, 4, 3), task, "test", 1, Retriever(task, by, diversity))
    assert fewer == episodes[:3]
    shuffled = rng.sample(episodes, 6)
    fresh = Retriever(toy_task(), by, diversity)
    assert [fresh.support(e.queries[0], 4) for e in shuffled] == [e.support for e in shuffled]


def test_retrieval_is_the_same_in_a_fresh_process_under_any_hash_seed():
    random.seed(4)
    assert in_fresh_process("t.retrieved()", "draws", hash_seed=5) == retrieved()


def test_an_episode_a_query_with_the_queries_of_a_draw_and_one_key():
    task = topics()
    episodes = retrieved_episodes(EpisodeSampler(0, 3, 5), task, "test", 2, Retriever(task, "bm25"))
    drawn = EpisodeSampler(0, 3, 5).draw(task, "test", 2)
    assert tuple(e.queries[0] for e in episodes) == drawn.queries and {e.key for e in episodes} == {drawn.key}
    assert all(len(e.queries) == 1 and len(e.support) == 3 for e in episodes)
    assert len({e.support for e in episodes}) > 1


def test_role_train_retrieves_for_train_examples_and_arbitrary_words_are_the_same_for_all_queries():
    task = toy_task()
    sampler = EpisodeSampler(0, 4, 6, arbitrary_labels=1.0)
    episodes = retrieved_episodes(sampler, task, "train", 0, Retriever(task, "bm25"))
    assert {e.queries[0].input for e in episodes} <= set(inputs(task.examples("train")))
    (options,) = {x.options for e in episodes for x in (*e.support, *e.queries)}
    assert not set(options) & set(task.labels)


def test_a_stored_task_retrieves_what_it_retrieves_in_memory(tmp_path):
    task = toy_task()
    write_store(TaskSuite("s", {"toy": task}, {"meta_test": ("toy",)}), tmp_path / "s")
    query = task.examples("test")[0]
    assert Retriever(open_store(tmp_path / "s")["toy"], "bm25").support(query, 5) == Retriever(task, "bm25").support(
        query, 5
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Retriever(topics(), "bm26"), "unknown retrieval 'bm26'; expected bm25, or package.module:function"),
        (lambda: Retriever(topics(), "bm25", 1.5), "diversity must be between 0 and 1, but is 1.5"),
        (lambda: Retriever(topics(), "test_retrieval:letter"), "module test_retrieval has no 'letter'"),
        (lambda: Retriever(topics(), lambda texts: [1.0]), r"must return one vector for each text; found shape \[1\]"),
        (lambda: Retriever(topics(), lambda texts: [[float("nan")]] * len(texts)), "finite numbers"),
        (lambda: retrieved_episodes(EpisodeSampler(0, 1, 1, per_class=True), topics(), "test", 0, None), "per_class"),
        (
            lambda: Protocol(per_class=True, retrieval="bm25"),
            "per_class and retrieval exclude each other. Give one of them.",
        ),
        (lambda: Protocol(diversity=0.5), "no demonstrations are retrieved"),
        (
            lambda: Protocol(retrieval="bm25", demonstrations={"t": [0]}),
            "retrieval and demonstrations exclude each other",
        ),
    ],
)
def test_a_wrong_setting_is_refused(make, message):
    with pytest.raises(UserError, match=message):
        make()


# -- in the comparison -----------------------------------------------------------------------------------------------


def test_a_cell_with_retrieval_scores_all_queries_each_behind_its_own_demonstrations(tmp_path):
    protocol = Protocol([2, 4], seeds=2, queries=5, retrieval="bm25", diversity=0.2)
    comparison = Comparison([toy_task()], protocol, tmp_path)
    Scripted.adaptations = 0
    for right in (True, False):
        comparison.run(scripted(right))
    cells = comparison.results([scripted(), scripted(False)]).cells
    assert [(c.method, c.n, c.score) for c in cells] == [("right", 5, 1.0)] * 4 + [("wrong", 5, 0.0)] * 4
    assert Scripted.adaptations == 2 * 4 * 5
    Comparison([toy_task()], protocol, tmp_path).run(scripted())
    assert Scripted.adaptations == 2 * 4 * 5  # finished cells are not done again
    drawn = protocol_episode(Protocol([4], seeds=2, queries=5), toy_task(), 1, 4)
    answers = comparison.scored(scripted())[-1].predictions
    assert [a.input for a in answers] == inputs(drawn.queries)


def test_cells_of_other_demonstrations_are_other_cells(tmp_path):
    task, keys = toy_task(), set()
    for changes in ({}, {"retrieval": "bm25"}, {"retrieval": KINDS[1]}, {"demonstrations": {"toy": [0, 1]}}):
        comparison = Comparison([task], Protocol([2], seeds=1, queries=5, **changes), tmp_path)
        keys.add(comparison._key(scripted(), task, 0, 2))
    assert len(keys) == 4


def test_fixed_demonstrations_are_every_cells_and_others_tasks_are_drawn():
    task, other = toy_task(), text_task()
    protocol = Protocol([1, 2], queries=5, demonstrations={"toy": [7, task.examples("train")[2].input]})
    for seed in (0, 1):
        (episode,) = protocol_episodes(protocol, task, seed, 2)
        assert episode.support == (task.examples("train")[7], task.examples("train")[2])
        assert protocol_episode(protocol, task, seed, 1).support == episode.support[:1]
    assert protocol_episode(protocol, other, 0, 2) == protocol_episode(Protocol(queries=5), other, 0, 2)
    with pytest.raises(UserError, match="k=3 asks for more demonstrations than are fixed"):
        protocol_episodes(protocol, task, 0, 3)


def test_fixed_demonstrations_of_a_task_that_is_not_there_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"no task 'toi' is evaluated. Did you mean toy\?"):
        Comparison([toy_task()], Protocol(demonstrations={"toi": [0]}), tmp_path)


def test_demonstrations_of_a_protocol_can_be_written_in_yaml(tmp_path):
    (tmp_path / "a.yaml").write_text("k: [2]\ndemonstrations:\n  toy: [3, 'train 7: the saw']\n")
    _, run = parse(["evaluate", "--config", str(tmp_path / "a.yaml")])
    assert run.protocol == Protocol([2], demonstrations={"toy": [3, "train 7: the saw"]})


def test_answers_of_several_episodes_keep_their_order():
    from eval.answering import answer_episodes

    task = toy_task()
    episodes = retrieved_episodes(EpisodeSampler(0, 2, 6), task, "test", 0, Retriever(task, "bm25"))
    done = answer_episodes(Scripted(), episodes)
    assert all(isinstance(a, Answer) for a in done.answers)
    assert [a.text for a in done.answers] == [e.queries[0].output for e in episodes] and done.score == 1.0
