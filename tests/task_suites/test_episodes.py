"""Episodes: disjoint, nested, balanced and pure functions of their key."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from functools import cache
from pathlib import Path

import pytest
from draws import CALLS, MAKERS, drawn
from helpers import in_fresh_process, sized_task
from hypothesis import given
from hypothesis import strategies as st
from toys import choice_task, tag_task, text_task, toy_task

from examples import examples
from task_suites.core.errors import UserError
from task_suites.episodes import LARGE, Episode, EpisodeSampler
from task_suites.example import Example
from task_suites.formats.label_words import ARBITRARY_WORDS
from task_suites.orders import lazily_shuffled
from task_suites.sources import open_suite
from task_suites.task import Task

TASKS = {name: make() for name, make in MAKERS.items()}
some_task = st.sampled_from(sorted(TASKS)).map(TASKS.__getitem__)
seeds = st.integers(0, 10**6)
roles = st.sampled_from(["train", "test"])
class_sizes = st.dictionaries(st.sampled_from(list("abcdefgh")), st.integers(1, 9), min_size=2, max_size=6)
relaxed = examples(40)


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
    for way in (False, True):
        queries = [EpisodeSampler(seed, k, 10, stratified=way).draw(task, "test", 0).queries for k in (0, 4, 16)]
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
@given(class_sizes, seeds, st.integers(1, 40), roles)
def test_stratified_queries_have_the_class_shares_of_what_is_left(sizes, seed, n, role):
    task = sized_task({label: size + 3 for label, size in sizes.items()}, test=30)
    episode = EpisodeSampler(seed, 2, n, stratified=True).draw(task, role, 0)
    left = Counter(e.output for e in task.examples(role) if e.content not in set(contents(episode.support)))
    counts = Counter(e.output for e in episode.queries)
    assert len(set(episode.queries)) == len(episode.queries) == min(n, left.total())
    if n < len(sizes):  # no room for one of each
        return
    for label, size in left.items():  # the exact share, rounded; a class that has less than one replaces another's
        exact, lifted = size * min(n, left.total()) / left.total(), len(sizes) - 1
        assert max(1, int(exact) - lifted) <= counts[label] <= max(1, exact + 1)


def test_stratified_queries_of_a_small_class_come_up_in_every_draw_and_in_any_place():
    task = sized_task({"a": 30, "b": 6, "c": 2}, test=38)
    queries = [EpisodeSampler(0, 3, 16, stratified=True).draw(task, "train", i).queries for i in range(60)]
    draws = [[e.output for e in drawn] for drawn in queries]
    assert {tuple(sorted(Counter(draw).items())) for draw in draws} == {(("a", 13), ("b", 2), ("c", 1))}
    assert {draw.index("c") for draw in draws} == set(range(16))
    assert len({e for drawn in queries for e in drawn}) > 30


@relaxed
@given(st.sampled_from(["choice", "text", "tags"]), seeds)
def test_where_there_are_no_classes_stratified_queries_are_natural_ones(name, seed):
    drawn = [EpisodeSampler(seed, 4, 6, stratified=way).draw(TASKS[name], "test", 0).queries for way in (False, True)]
    assert drawn[0] == drawn[1]


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


def refusal(sampler: EpisodeSampler, task: Task, role: str = "test", *given: object) -> str:
    with pytest.raises(UserError) as error:
        sampler.draw(task, role, 0, *given)
    return str(error.value)


def test_k_beyond_a_class_or_the_pool_is_refused_with_what_there_is_and_the_way_out():
    task, lacking = sized_task({"a": 3, "b": 9}), sized_task({"a": 3, "b": 3, "c": 0})
    twins = task.replace(load=lambda part: [Example("the same", "a", ("a", "b"))] * 12)
    each, left = EpisodeSampler(0, 4, 1, per_class=True), "no query is left beside the"
    assert [
        refusal(each, task),
        refusal(EpisodeSampler(0, 1, 1, per_class=True), lacking),
        refusal(EpisodeSampler(0, 13, 1), task),
        refusal(EpisodeSampler(0, 12, 1), task, "train"),
        refusal(EpisodeSampler(0, 2, 1), sized_task({"a": 1, "b": 1}), "train"),
        refusal(EpisodeSampler(0, 2, 1), twins, "train"),
    ] == [
        "task sized: class 'a' has 3 examples; expected at least k=4. Lower k.",
        "task sized: class 'c' has 0 examples; expected at least k=1. "
        "Take 'c' out of the task's labels, or unset per_class.",
        "task sized: k=13 asks for 13 demonstrations; found 12 examples. Lower k.",
        f"task sized: {left} 12 demonstrations; found 12 examples to draw queries from. "
        "Lower k, or add examples to the task.",
        f"task sized: {left} 2 demonstrations; found 2 examples to draw queries from. "
        "Lower k, or add examples to the task.",
        f"task sized: {left} 2 demonstrations; found 12 examples to draw queries from. "
        "Add different examples to the task.",
    ]


OUT_OF_RANGE = {
    "k": ([-1], [0], "0 or more"),
    "queries": ([0, -1], [1], "at least 1"),
    "balance": (["even"], ["balanced", "natural"], "balanced or natural"),
    "max_classes": ([1, -2], [0, None, 2], "at least 2, or 0 or None for all"),
    "arbitrary_labels": ([1.5, 1.0001, -0.1], [0, 1], "between 0 and 1"),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_a_setting_out_of_its_range_is_refused_at_once(name):
    wrong, sound, expected = OUT_OF_RANGE[name]
    for value in wrong:
        with pytest.raises(UserError) as error:
            EpisodeSampler(**{"seed": 0, "k": 4, "queries": 4, name: value})
        assert str(error.value) == f"{name} must be {expected}, but is {value!r}"
    for value in sound:
        assert getattr(EpisodeSampler(**{"seed": 0, "k": 4, "queries": 4, name: value}), name) == value


def test_an_unknown_role_is_refused():
    found = refusal(EpisodeSampler(0, 4, 4), TASKS["options"], "validation")
    assert found == "unknown role 'validation'; expected train or test"


def test_a_draw_is_the_same_in_any_order_of_calls():
    expected = {call: drawn(call) for call in CALLS}
    order = list(CALLS)
    random.Random(1).shuffle(order)
    random.seed(123)
    assert {call: drawn(call) for call in order} == expected


def test_a_draw_is_the_same_in_a_fresh_process_under_any_hash_seed():
    expected = str([drawn(call) for call in CALLS])
    for hash_seed in (1, 77):
        assert in_fresh_process("[t.drawn(call) for call in t.CALLS]", "draws", hash_seed) == expected


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


@pytest.mark.parametrize("size", [9, LARGE + 1])
def test_max_classes_may_take_part_of_which_no_query_is_left(size):
    rows = {"train": [Example(f"{i}", "abc"[i % 3], ("a", "b", "c")) for i in range(12)]}
    rows["test"] = [Example(f"test {i}", "ab"[i % 2], ("a", "b", "c")) for i in range(size)]
    task = Task("part", "classification", rows.__getitem__, labels=("a", "b", "c"))
    drawn = [EpisodeSampler(0, 4, 4, max_classes=2).draw(task, "test", i) for i in range(10)]
    assert any("c" in e.support[0].options for e in drawn)
    for e in drawn:
        assert {q.output for q in e.queries} == {*e.support[0].options} - {"c"} and len(e.queries) == 4


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


def test_options_that_are_right_too_follow_new_words_and_fewer_classes():
    labels = ("one", "two", "three", "four")
    items = [Example(f"item {i}", labels[i % 4], labels, accepted=(labels[(i + 1) % 4],)) for i in range(40)]
    task = Task("ties", "classification", lambda part: items[:20] if part == "train" else items[20:], labels=labels)
    sampler = EpisodeSampler(0, 8, 8, max_classes=3, arbitrary_labels=1.0)
    drawn = [e for index in range(5) for ep in [sampler.draw(task, "train", index)] for e in (*ep.support, *ep.queries)]
    assert all(e.problem() is None for e in drawn) and not {w for e in drawn for w in e.options} & set(labels)
    assert {len(e.accepted) for e in drawn} == {0, 1}


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
    with pytest.raises(UserError) as error:
        Episode((0, "t", "test", 0), TASKS["options"], (demo,), (query,))
    assert str(error.value) == (
        "episode (0, 't', 'test', 0): 1 queries are also demonstrations; found 'the same item'; "
        "expected support and query sets disjoint by content"
    )


def test_generators_of_an_episode_differ_by_purpose_alone():
    episodes = [EpisodeSampler(0, k, 4).draw(TASKS["text"], "test", 0) for k in (2, 8)]
    a, b = (e.rng("noise").random() for e in episodes)
    assert a == b != episodes[0].rng("other").random()


# -- draws that must never change: all measured results were made with them ------------------------------------------

FIXED_SETTINGS = {
    "default": {},
    "natural": {"balance": "natural"},
    "per_class": {"k": 2, "per_class": True},
    "max_classes": {"max_classes": 2},
    "arbitrary": {"arbitrary_labels": 0.5, "max_classes": 3},
    "everything": {
        "k": 3,
        "queries": 40,
        "balance": "natural",
        "per_class": True,
        "max_classes": 3,
        "arbitrary_labels": 1.0,
    },
}
FIXED_DRAWS = {  # made by the sampler that shuffled whole lists of examples
    ("embedded", "default"): "e1f8b4ee9179c4dc",
    ("embedded", "natural"): "f82e3e72630c47de",
    ("embedded", "per_class"): "93a1fe59340ffc8c",
    ("embedded", "max_classes"): "b61d52f7f8028163",
    ("embedded", "arbitrary"): "ab5df7ef3b50ed98",
    ("embedded", "everything"): "604051e7507b9734",
    ("toys", "default"): "6419223fc0f3c083",
    ("toys", "natural"): "e7fb748925f4bda3",
    ("toys", "per_class"): "ffcc55c20f0a743f",
    ("toys", "max_classes"): "e276f90a16a997cd",
    ("toys", "arbitrary"): "836d4958ac9910d6",
    ("toys", "everything"): "d9d13bad42e09134",
    ("realtasks", "default"): "16fe8748aa19c80e",
    ("realtasks", "natural"): "8883fc5c873862a8",
    ("realtasks", "per_class"): "9000849d65e5ec10",
    ("realtasks", "max_classes"): "bb6a6804285f2b6d",
    ("realtasks", "arbitrary"): "ef54710ac918b615",
    ("realtasks", "everything"): "b9663aef455c1388",
}


opened = cache(open_suite)


def fairness(counts: list[int], expected: list[float] | None = None) -> float:
    """The p value of a chi-square test; every count equally likely without `expected`."""
    from scipy.stats import chisquare

    return float(chisquare(counts, expected).pvalue)


def fixed_tasks(suite: str, realtasks: Path | None) -> list[Task]:
    if suite == "toys":
        sized = [sized_task({"a": 30, "b": 9, "c": 17, "d": 4})]
        sized.append(sized_task(dict.fromkeys("abcdefgh", 90), test=700, name="wide"))
        return [toy_task(), choice_task(), text_task(), tag_task(), *sized]
    return list(opened(str(realtasks or suite)).tasks.values())[:: 1 if realtasks else 6]


def digest_of_draws(tasks: list[Task], setting: str) -> str:
    digest = hashlib.sha256()
    for i, task in enumerate(tasks):
        for role in ("train", "test"):
            for seed, index in ((0, 0), (7, i + 1)):
                sampler = EpisodeSampler(**{"seed": seed, "k": 8, "queries": 6, **FIXED_SETTINGS[setting]})
                episode = sampler.draw(task, role, index)
                for e in (*episode.support, *episode.queries):
                    digest.update(json.dumps([e.input, e.output, e.options, e.tokens, e.tags]).encode())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("setting", FIXED_SETTINGS)
@pytest.mark.parametrize("suite", ["embedded", "toys"])
def test_draws_are_the_ones_that_they_always_were(suite, setting):
    assert digest_of_draws(fixed_tasks(suite, None), setting) == FIXED_DRAWS[suite, setting]


@pytest.mark.slow
@pytest.mark.parametrize("setting", FIXED_SETTINGS)
def test_draws_from_real_tasks_are_the_ones_that_they_always_were(realtasks, setting):
    assert digest_of_draws(fixed_tasks("realtasks", realtasks), setting) == FIXED_DRAWS["realtasks", setting]


@pytest.mark.slow
def test_no_part_of_the_measured_suites_is_large(realtasks):
    for name in ("embedded", str(realtasks)):
        assert max(len(t.examples(part)) for t in opened(name).tasks.values() for part in ("train", "test")) < LARGE


# -- parts too large to be shuffled whole ----------------------------------------------------------------------------

WIDE = sized_task({"a": 2000, "b": 900, "c": 90, "d": 9}, test=LARGE + 500, name="large")


@pytest.mark.parametrize(("more", "inputs"), [(0, ["b 730", "a 250", "b 939"]), (1, ["a 322", "b 697", "a 408"])])
def test_a_part_is_large_from_2049_examples_on(more, inputs):
    drawn = EpisodeSampler(0, 3, 1, "natural").draw(sized_task({"a": 1024 + more, "b": 1024}), "test", 0)
    assert [e.input for e in drawn.support] == [f"sized {text}" for text in inputs]


class CountedReads(tuple):
    """Examples that count how many of them a draw takes by position."""

    reads = 0

    def __getitem__(self, at):
        CountedReads.reads += 1
        return super().__getitem__(at)


def test_a_draw_from_a_large_part_reads_about_as_many_examples_as_it_has():
    task = WIDE.replace()
    for part in ("train", "test"):
        task._loaded[part] = CountedReads(WIDE.examples(part))
    for setting in ({}, {"balance": "natural"}, {"max_classes": 2}):
        sampler = EpisodeSampler(**{"seed": 0, "k": 16, "queries": 8, **setting})
        for role in ("train", "test"):
            sampler.draw(task, role, 0)  # the indices are made once
            CountedReads.reads = 0
            sampler.draw(task, role, 1)
            assert CountedReads.reads <= 16 + 8 + 16


@relaxed
@given(seeds, st.integers(0, 40), st.sampled_from(["balanced", "natural"]), st.sampled_from([None, 2, 3]), roles)
def test_draws_from_a_large_part_are_nested_disjoint_and_of_the_asked_size(seed, k, balance, classes, role):
    small, large = (EpisodeSampler(seed, n, 9, balance, max_classes=classes).draw(WIDE, role, 3) for n in (k, 40))
    assert small.support == large.support[:k] and len(large.support) == 40 and len(large.queries) == 9
    assert len({e.content for e in (*large.support, *large.queries)}) == 49
    if classes:
        assert len({e.output for e in (*large.support, *large.queries)}) <= classes
        assert {len(e.options) for e in (*large.support, *large.queries)} == {classes}


@relaxed
@given(seeds, st.integers(0, 30))
def test_a_balanced_draw_from_a_large_part_is_as_even_as_the_class_sizes_allow(seed, k):
    counts = Counter(e.output for e in EpisodeSampler(seed, k, 1).draw(WIDE, "test", 0).support)
    assert all(abs(counts[c] - k / 4) < 1 for c in "abcd")
    of_each = EpisodeSampler(seed, 9, 1, per_class=True).draw(WIDE, "train", 0).support
    assert Counter(e.output for e in of_each) == dict.fromkeys("abcd", 9)


def test_a_natural_draw_from_a_large_part_follows_the_class_sizes():
    drawn = Counter(
        e.output for i in range(60) for e in EpisodeSampler(0, 20, 1, "natural").draw(WIDE, "train", i).support
    )
    sizes = {"a": 2000, "b": 900, "c": 90 + 9}
    found = [drawn["a"], drawn["b"], drawn["c"] + drawn["d"]]
    assert fairness(found, [1200 * size / 2999 for size in sizes.values()]) > 0.001


def test_a_large_part_refuses_what_a_small_one_refuses():
    with pytest.raises(UserError, match=r"class 'd' has 9 examples; expected at least k=10"):
        EpisodeSampler(0, 10, 1, per_class=True).draw(WIDE, "test", 0)
    with pytest.raises(UserError, match=r"k=3000 asks for 3000 demonstrations; found 2999 examples"):
        EpisodeSampler(0, 3000, 1).draw(WIDE, "test", 0)
    with pytest.raises(UserError, match="no query is left beside the 2999 demonstrations"):
        EpisodeSampler(0, 2999, 1).draw(WIDE, "train", 0)


def test_a_duplicate_of_a_demonstration_in_a_large_part_is_never_a_query():
    def load(part: str) -> list[Example]:
        return [Example(f"{'ITEM' if i % 2 else 'item'} {i // 40}", "xy"[i % 2], ("x", "y")) for i in range(LARGE + 40)]

    task = Task("repeats", "classification", load, labels=("x", "y"))
    for index in range(20):
        episode = EpisodeSampler(0, 16, 400).draw(task, "train", index)
        assert not set(contents(episode.support)) & set(contents(episode.queries)) and len(episode.queries) == 400


def test_a_lazy_shuffle_gives_every_order_the_same_chance():
    orders = Counter(tuple(lazily_shuffled("abcd", random.Random(seed))) for seed in range(4800))
    assert len(orders) == 24 and fairness(list(orders.values())) > 0.001


# -- demonstrations that are given -----------------------------------------------------------------------------------


def test_given_demonstrations_are_taken_as_they_are_and_never_come_as_queries():
    task = TASKS["options"]
    support = task.examples("train")[5:2:-1]
    for role in ("train", "test"):
        episode = EpisodeSampler(0, 16, 500).draw(task, role, 0, support)
        assert episode.support == support and not set(episode.queries) & set(support)
        assert episode.queries[:9] == EpisodeSampler(0, 1, 9).draw(task, role, 0, support).queries


def test_given_demonstrations_leave_the_queries_of_role_test_as_they_were():
    plain = EpisodeSampler(0, 4, 6).draw(TASKS["text"], "test", 2)
    assert EpisodeSampler(0, 9, 6).draw(TASKS["text"], "test", 2, plain.support[::-1]).queries == plain.queries


def test_given_demonstrations_and_max_classes_exclude_each_other():
    found = refusal(EpisodeSampler(0, 4, 4, max_classes=2), TASKS["options"], "test", ())
    assert (
        found == "a given support set and max_classes exclude each other; expected one of the two. Unset max_classes."
    )
