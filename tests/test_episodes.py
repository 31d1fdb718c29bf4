"""Episodes: disjoint, nested, balanced and pure functions of their key."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from helpers import sized_task
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import choice_task, tag_task, text_task, toy_task

from task_suites.episodes import ARBITRARY_WORDS, Episode, EpisodeSampler
from task_suites.errors import UserError
from task_suites.task import Example, Task

MAKERS = {"options": toy_task, "choice": choice_task, "text": text_task, "tags": tag_task}
TASKS = {name: make() for name, make in MAKERS.items()}
some_task = st.sampled_from(sorted(TASKS)).map(TASKS.__getitem__)
seeds = st.integers(0, 10**6)
roles = st.sampled_from(["train", "test"])
class_sizes = st.dictionaries(st.sampled_from(list("abcdefgh")), st.integers(1, 9), min_size=2, max_size=6)
relaxed = settings(max_examples=40, deadline=None)


def contents(examples: tuple[Example, ...]) -> list[str]:
    return [e.content for e in examples]


def disguised(text: str, rng: random.Random) -> str:
    """The same words in another case and with other white space."""
    words = (rng.choice((str.upper, str.title, str.casefold))(word) for word in text.split())
    return rng.choice(("", " ", "\t")) + rng.choice((" ", "  ", "\n")).join(words) + rng.choice(("", " "))


def with_duplicates(task: Task, seed: int) -> Task:
    """The task with two disguised copies of each train example in both of its parts."""

    def load(part: str) -> list[Example]:
        rng = random.Random(f"{seed}/{part}")
        train = [Example(disguised(e.text, rng), e.output, e.options) for e in task.examples("train") for _ in range(2)]
        return [*task.examples(part), *train]

    return task.replace(load=load)


@relaxed
@given(some_task, seeds, st.integers(0, 20), st.integers(1, 12), roles, st.integers(0, 50))
def test_support_and_queries_are_disjoint_and_of_the_asked_size(task, seed, k, queries, role, index):
    episode = EpisodeSampler(seed, k, queries).draw(task, role, index)
    assert not set(contents(episode.support)) & set(contents(episode.queries))
    assert (len(episode.support), len(episode.queries)) == (k, queries)
    assert len({id(e) for e in episode.support}) == k and len({id(e) for e in episode.queries}) == queries
    assert episode.key == (seed, task.name, role, index)
    assert {e.form for e in (*episode.support, *episode.queries)} == {task.form}


@relaxed
@given(seeds, st.integers(1, 12), roles)
def test_a_duplicate_under_other_case_or_white_space_is_never_a_query(seed, k, role):
    episode = EpisodeSampler(seed, k, 500).draw(with_duplicates(toy_task(size=16), seed), role, 0)
    assert not set(contents(episode.support)) & set(contents(episode.queries))


@relaxed
@given(some_task, seeds)
def test_role_train_never_touches_test_examples(task, seed):
    guarded = task.replace(load=lambda part: task.examples(part) if part == "train" else pytest.fail("test was read"))
    episode = EpisodeSampler(seed, 8, 8).draw(guarded, "train", 0)
    assert set(episode.support) | set(episode.queries) <= set(task.examples("train"))


@relaxed
@given(some_task, seeds)
def test_role_test_takes_support_from_train_and_queries_from_test(task, seed):
    episode = EpisodeSampler(seed, 8, 8).draw(task, "test", 0)
    assert set(episode.support) <= set(task.examples("train"))
    assert set(episode.queries) <= set(task.examples("test"))


@relaxed
@given(some_task, seeds, st.integers(0, 16), st.sampled_from(["balanced", "natural"]), roles)
def test_a_smaller_support_set_is_the_start_of_a_larger_one(task, seed, k, balance, role):
    small, large = (EpisodeSampler(seed, n, 4, balance).draw(task, role, 3) for n in (k, 16))
    assert small.support == large.support[:k]


@relaxed
@given(seeds, st.integers(0, 6))
def test_a_smaller_support_set_of_each_class_is_the_start_of_a_larger_one(seed, k):
    task = sized_task({"a": 6, "b": 7, "c": 9})
    small, large = (EpisodeSampler(seed, n, 4, per_class=True).draw(task, "test", 0) for n in (k, 6))
    assert small.support == large.support[: 3 * k]


@relaxed
@given(some_task, seeds)
def test_the_queries_of_role_test_are_the_same_for_every_k(task, seed):
    queries = [EpisodeSampler(seed, k, 10).draw(task, "test", 0).queries for k in (0, 4, 16)]
    assert queries[0] == queries[1] == queries[2]


@relaxed
@given(class_sizes, seeds, st.data())
def test_a_balanced_draw_is_as_even_as_the_class_sizes_allow(sizes, seed, data):
    k = data.draw(st.integers(0, sum(sizes.values())))
    episode = EpisodeSampler(seed, k, 1).draw(sized_task(sizes), "test", 0)
    counts = Counter(e.output for e in episode.support)
    unfinished = [counts[label] for label, size in sizes.items() if counts[label] < size]
    assert sum(counts.values()) == k
    if unfinished:  # a class may have fewer than another only where all of it is taken, or by one
        assert max(counts.values(), default=0) - min(unfinished) <= 1


@relaxed
@given(class_sizes, seeds, st.data())
def test_per_class_takes_exactly_k_of_each_class(sizes, seed, data):
    k = data.draw(st.integers(1, min(sizes.values())))
    episode = EpisodeSampler(seed, k, 1, "natural", per_class=True).draw(sized_task(sizes), "test", 0)
    assert Counter(e.output for e in episode.support) == dict.fromkeys(sizes, k)


def test_the_order_of_classes_in_a_balanced_draw_is_drawn_anew_in_each_round():
    task = sized_task(dict.fromkeys("abc", 8))
    outputs = [[e.output for e in EpisodeSampler(0, 6, 1).draw(task, "test", i).support] for i in range(60)]
    assert len({tuple(o[:3]) for o in outputs}) == 6
    assert 1 < sum(o[:3] == o[3:] for o in outputs) < 30


def test_a_natural_draw_follows_the_class_sizes():
    task = sized_task({"often": 90, "seldom": 10})
    drawn = Counter(
        e.output for i in range(40) for e in EpisodeSampler(0, 10, 1, "natural").draw(task, "test", i).support
    )
    assert 0.8 < drawn["often"] / 400 < 0.97


def test_classes_are_balanced_whatever_the_order_of_their_options():
    options = [("a", "b"), ("b", "a")]
    examples = [Example(f"item {i}", "a" if i % 10 else "b", options[i % 3 % 2]) for i in range(60)]
    for labels in ((), ("a", "b")):
        task = Task("t", "classification", lambda part: examples, labels=labels)
        support = EpisodeSampler(0, 8, 1).draw(task, "train", 0).support
        assert Counter(e.output for e in support) == {"a": 4, "b": 4}


def test_no_example_of_a_multiple_choice_task_is_in_every_support_set():
    task = TASKS["choice"]
    supports = [set(EpisodeSampler(0, 4, 1).draw(task, "test", i).support) for i in range(60)]
    counts = Counter(e for support in supports for e in support)
    assert max(counts.values()) < 30 and len(counts) > 30


@pytest.mark.parametrize("name", ["choice", "text", "tags"])
def test_without_classes_per_class_counts_all_demonstrations(name):
    assert len(EpisodeSampler(0, 5, 3, per_class=True).draw(TASKS[name], "test", 0).support) == 5


def test_k_beyond_a_class_or_the_pool_is_refused():
    task = sized_task({"a": 3, "b": 9})
    with pytest.raises(UserError, match=r"task sized: class 'a' has 3 examples; expected at least k=4. Lower k."):
        EpisodeSampler(0, 4, 1, per_class=True).draw(task, "test", 0)
    with pytest.raises(UserError, match=r"task sized: k=13 asks for 13 demonstrations; found 12 examples. Lower k."):
        EpisodeSampler(0, 13, 1).draw(task, "test", 0)
    with pytest.raises(UserError, match="no query is left beside the 12 demonstrations"):
        EpisodeSampler(0, 12, 1).draw(task, "train", 0)
    with pytest.raises(UserError, match="class 'c' has 0 examples"):
        EpisodeSampler(0, 1, 1, per_class=True).draw(sized_task({"a": 3, "b": 3, "c": 0}), "test", 0)


@pytest.mark.parametrize(
    "setting",
    [
        {"k": -1},
        {"queries": 0},
        {"balance": "even"},
        {"max_classes": 1},
        {"max_classes": -2},
        {"arbitrary_labels": 1.5},
    ],
    ids=str,
)
def test_a_setting_out_of_its_range_is_refused_at_once(setting):
    with pytest.raises(UserError, match=f"{next(iter(setting))} is out of range"):
        EpisodeSampler(**{"seed": 0, "k": 4, "queries": 4, **setting})


def test_an_unknown_role_is_refused():
    with pytest.raises(UserError, match="unknown role 'validation'; expected train or test"):
        EpisodeSampler(0, 4, 4).draw(TASKS["options"], "validation", 0)


CALLS = [(name, role, index) for name in TASKS for role in ("train", "test") for index in (0, 7)]


def drawn(call: tuple[str, str, int], seed: int = 5) -> str:
    name, role, index = call
    sampler = EpisodeSampler(seed, 6, 6, max_classes=2, arbitrary_labels=0.5)
    episode = sampler.draw(MAKERS[name](), role, index)
    return repr((episode.support, episode.queries, episode.rng("x").random()))


def test_a_draw_is_the_same_in_any_order_of_calls():
    expected = {call: drawn(call) for call in CALLS}
    order = list(CALLS)
    random.Random(1).shuffle(order)
    random.seed(123)
    assert {call: drawn(call) for call in order} == expected


def test_a_draw_is_the_same_in_a_fresh_process_under_any_hash_seed():
    code = "import test_episodes as t; print([t.drawn(call) for call in t.CALLS])"
    expected = str([drawn(call) for call in CALLS])
    for hash_seed in ("1", "77"):
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        folder = Path(__file__).parent
        fresh = subprocess.run([sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True)
        assert fresh.stdout.strip() == expected, fresh.stderr


def test_other_seeds_indices_roles_and_tasks_give_other_draws():
    task = TASKS["options"]
    draws = {
        tuple(contents(EpisodeSampler(seed, 8, 8).draw(t, role, index).support))
        for t in (task, task.replace(name="other", load=task.examples))
        for seed in range(5)
        for role in ("train", "test")
        for index in range(5)
    }
    assert len(draws) == 2 * 5 * 2 * 5


def test_queries_are_drawn_anew_for_each_episode_and_reach_every_example():
    draws = [EpisodeSampler(0, 4, 4).draw(TASKS["options"], "test", i).queries for i in range(150)]
    assert len(set(draws)) == 150 and set().union(*draws) == set(TASKS["options"].examples("test"))


def test_the_query_set_has_no_more_than_there_are():
    assert len(EpisodeSampler(0, 4, 500).draw(sized_task({"a": 4, "b": 4}, test=7), "test", 0).queries) == 7


@relaxed
@given(class_sizes.filter(lambda sizes: len(sizes) > 2), seeds, st.integers(2, 5), st.integers(0, 20))
def test_max_classes_limits_the_classes_and_shrinks_the_options(sizes, seed, limit, index):
    task = sized_task(dict.fromkeys(sizes, 4), test=30)
    episode = EpisodeSampler(seed, 4, 8, max_classes=limit).draw(task, "train", index)
    options = {e.options for e in (*episode.support, *episode.queries)}
    assert len(options) == 1
    (only,) = options
    assert len(only) == min(limit, len(sizes)) and [label for label in task.labels if label in only] == list(only)
    assert {e.output for e in (*episode.support, *episode.queries)} <= set(only)


def test_max_classes_draws_other_classes_for_other_episodes():
    task = sized_task(dict.fromkeys("abcdefgh", 5))
    drawn_classes = [
        EpisodeSampler(0, 4, 4, max_classes=3).draw(task, "train", i).support[0].options for i in range(40)
    ]
    assert set().union(*drawn_classes) == set("abcdefgh") and len(set(drawn_classes)) > 10


def test_max_classes_draws_among_the_classes_that_occur():
    task = sized_task({label: 5 if label in "ab" else 0 for label in "abcdefgh"})
    for index in range(10):
        assert set(EpisodeSampler(0, 4, 4, max_classes=2).draw(task, "train", index).support[0].options) == {"a", "b"}


@pytest.mark.parametrize("unlimited", [None, 0, 8, 9])
def test_max_classes_of_none_zero_or_enough_changes_nothing(unlimited):
    task = sized_task(dict.fromkeys("abcdefgh", 5))
    limited = EpisodeSampler(3, 4, 4, max_classes=unlimited).draw(task, "train", 0)
    assert limited == EpisodeSampler(3, 4, 4).draw(task, "train", 0)


@relaxed
@given(st.lists(st.sampled_from(ARBITRARY_WORDS[:40]), min_size=2, max_size=6, unique=True), seeds, st.data())
def test_relabelling_is_one_injective_map_that_uses_no_word_of_the_labels(words, seed, data):
    labels = tuple(data.draw(st.sampled_from([w, w.upper(), f"a {w}", f"{w}-like", f"{w}_x", f"({w})"])) for w in words)
    task = toy_task(labels=labels[:2]).replace(labels=labels)
    plain = EpisodeSampler(seed, 6, 6).draw(task, "test", 0)
    changed = plain.relabelled()
    mapping: dict[str, str] = {}
    for before, after in zip((*plain.support, *plain.queries), (*changed.support, *changed.queries), strict=True):
        assert before.input == after.input
        for old, new in zip((*before.options, before.output), (*after.options, after.output), strict=True):
            assert mapping.setdefault(old, new) == new
    assert len(set(mapping.values())) == len(mapping) == 2
    assert set(mapping.values()) <= set(ARBITRARY_WORDS) - set(words)
    assert changed == plain.relabelled() and changed.key == plain.key


def test_relabelling_gives_other_words_to_other_episodes():
    task = TASKS["options"]
    words = {EpisodeSampler(0, 2, 1).draw(task, "test", i).relabelled().queries[0].options for i in range(20)}
    assert len(words) > 15


@pytest.mark.parametrize("name", ["choice", "text", "tags"])
def test_an_episode_without_a_fixed_label_list_is_not_relabelled(name):
    episode = EpisodeSampler(0, 4, 4, arbitrary_labels=1.0).draw(TASKS[name], "test", 0)
    assert episode == EpisodeSampler(0, 4, 4).draw(TASKS[name], "test", 0)


def test_more_labels_than_words_are_left_as_they_are():
    task = sized_task({f"label {i}": 1 for i in range(len(ARBITRARY_WORDS) + 1)})
    episode = EpisodeSampler(0, 4, 4).draw(task, "test", 0)
    assert episode.relabelled() == episode


def test_the_share_of_relabelled_episodes_is_the_one_asked_for():
    task = TASKS["options"]
    for share, least, most in ((0.0, 0, 0), (0.5, 30, 70), (1.0, 100, 100)):
        sampler = EpisodeSampler(0, 2, 1, arbitrary_labels=share)
        changed = sum(sampler.draw(task, "test", i).queries[0].options != task.labels for i in range(100))
        assert least <= changed <= most


def test_an_episode_whose_query_is_a_demonstration_is_refused():
    demo = Example("The same item", "a", ("a", "b"))
    query = Example(" the SAME  item", "b", ("b", "a"))
    with pytest.raises(UserError, match="1 queries are also demonstrations; found 'the same item'"):
        Episode((0, "t", "test", 0), TASKS["options"], (demo,), (query,))


def test_generators_of_an_episode_differ_by_purpose_alone():
    episodes = [EpisodeSampler(0, k, 4).draw(TASKS["text"], "test", 0) for k in (2, 8)]
    a, b = (e.rng("noise").random() for e in episodes)
    assert a == b != episodes[0].rng("other").random()
