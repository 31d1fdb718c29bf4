"""Which task and how many demonstrations a training episode gets: functions of (seed, number), in requested shares."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest
from helpers import in_fresh_process, sized_task
from hypothesis import given
from hypothesis import strategies as st
from mixtures import suite_of
from scipy.stats import chisquare
from training import CONFIG as TRAINER
from training import equal, make, weights

from examples import examples
from metaicl.training.config import TrainerConfig
from metaicl.training.step_episodes import training_episodes
from task_suites.core.errors import UserError
from task_suites.mixing import Mixing
from task_suites.mixture import merge

SIZES = {"small": 10, "middle": 40, "large": 250}
TASKS = [sized_task({"a": n // 2, "b": n - n // 2}, name=name) for name, n in SIZES.items()]
MIXINGS = {
    "group_dro": Mixing("group_dro"),
    "uniform": Mixing(),
    "proportional": Mixing("proportional"),
    "temperature": Mixing("temperature", temperature=3.0),
    "weights": Mixing("weights", weights={"small": 3, "large": 1.5}),
}
GROUPED = [  # task, family, suite
    task.replace(name=name, family=family, suite=suite)
    for task, (name, family, suite) in zip(
        [*TASKS, TASKS[0], TASKS[1]],
        [("a", "f", "x"), ("b", "f", "../y"), ("c", "g", "../y"), ("d", "", "../y"), ("e", "g", "x")],
        strict=True,
    )
]
CONFIG = TrainerConfig(k=4, queries=2, episodes_per_step=4, max_classes=0)


def names(mixing: Mixing, numbers, seed: int = 0, tasks=TASKS) -> list[str]:
    return [task.name for task in mixing.choose(tasks, seed, numbers)]


@pytest.mark.parametrize("kind", MIXINGS)
def test_frequencies_are_the_shares_that_are_asked_for(kind):
    mixing, n = MIXINGS[kind], 6000
    shares = mixing.chances(TASKS)
    assert sum(shares.values()) == pytest.approx(1)
    counts = Counter(names(mixing, range(n)))
    drawn = [name for name in shares if shares[name]]
    assert set(counts) == set(drawn)
    assert chisquare([counts[name] for name in drawn], [n * shares[name] for name in drawn]).pvalue > 0.001


def test_shares_follow_size_to_the_power_of_one_over_the_temperature():
    assert MIXINGS["proportional"].chances(TASKS) == pytest.approx({name: n / 300 for name, n in SIZES.items()})
    roots = {name: n ** (1 / 3) for name, n in SIZES.items()}
    expected = {name: root / sum(roots.values()) for name, root in roots.items()}
    assert MIXINGS["temperature"].chances(TASKS) == pytest.approx(expected)
    assert Mixing("temperature", 1.0).chances(TASKS) == pytest.approx(MIXINGS["proportional"].chances(TASKS))
    assert max(Mixing("temperature", 1e6).chances(TASKS).values()) == pytest.approx(1 / 3, abs=1e-4)


def test_uniform_takes_every_task_once_a_round_in_changing_order():
    drawn = names(MIXINGS["uniform"], range(60))
    rounds = [tuple(drawn[i : i + 3]) for i in range(0, 60, 3)]
    assert all(sorted(r) == sorted(SIZES) for r in rounds) and len(set(rounds)) > 3


@examples(60)
@given(st.sampled_from(sorted(MIXINGS)), st.integers(0, 10**6), st.integers(1, 7), st.randoms(use_true_random=False))
def test_an_episodes_task_depends_on_seed_and_number_alone(kind, seed, batch, rng):
    mixing, whole = MIXINGS[kind], names(MIXINGS[kind], range(42), seed)
    cut = [name for at in range(0, 42, batch) for name in names(mixing, range(at, min(at + batch, 42)), seed)]
    order = rng.sample(range(42), 42)
    assert cut == whole and names(mixing, order, seed) == [whole[i] for i in order]
    assert names(mixing, range(17, 42), seed, TASKS[::-1]) == whole[17:]


def test_other_seeds_draw_other_tasks():
    assert len({tuple(names(MIXINGS["proportional"], range(40), seed)) for seed in range(5)}) == 5


@pytest.mark.parametrize("kind", MIXINGS)
def test_training_episodes_are_the_same_for_any_batch_and_any_share_of_processes(kind):
    mixing = MIXINGS[kind]
    config = replace(
        CONFIG, mixing=kind, mixing_temperature=mixing.temperature, mixing_weights=dict(mixing.weights), k_min=1
    )
    whole = [e for step in range(6) for e in training_episodes(TASKS, config, step)]
    single = replace(config, episodes_per_step=1)
    assert [e for step in range(24) for e in training_episodes(TASKS, single, step)] == whole
    of_two = [[e for step in range(6) for e in training_episodes(TASKS, config, step)[rank::2]] for rank in range(2)]
    assert [e for pair in zip(*of_two, strict=True) for e in pair] == whole  # ranks take turns
    assert [e for step in (4, 5) for e in training_episodes(TASKS, config, step)] == whole[16:]  # a resumed run
    assert [e.task.name for e in whole] == names(mixing, range(24))


def drawn_in_order(order: list[int]) -> dict[int, str]:
    config = replace(CONFIG, mixing="temperature", k=6, k_min=2, curriculum_steps=9, seed=3)
    return {
        step: repr([(e.key, e.support, e.queries) for e in training_episodes(TASKS, config, step)]) for step in order
    }


@pytest.mark.slow
def test_training_episodes_are_the_same_in_a_fresh_process_and_any_order():
    random.seed(5)
    expected = drawn_in_order([0, 1, 2, 3])
    assert drawn_in_order([3, 1, 0, 2]) == expected
    fresh = in_fresh_process("sorted(t.drawn_in_order([2, 0, 3, 1]).items())", "test_mixing", hash_seed=7)
    assert fresh == str(sorted(expected.items()))


def test_the_curriculum_raises_k_from_its_lower_bound_to_k_and_stays():
    config = replace(CONFIG, k=9, curriculum_steps=4)
    assert [config.most_demonstrations(step) for step in range(7)] == [1, 3, 5, 7, 9, 9, 9]
    assert [len(training_episodes(TASKS, config, step)[0].support) for step in range(6)] == [1, 3, 5, 7, 9, 9]
    assert [replace(config, k_min=5).most_demonstrations(step) for step in (0, 2, 4, 50)] == [5, 7, 9, 9]
    assert replace(config, curriculum_steps=0).most_demonstrations(0) == 9


def test_with_a_lower_bound_k_is_drawn_up_to_the_curriculums():
    config = replace(CONFIG, k=8, k_min=2, curriculum_steps=10)
    for step in range(14):
        ks = {len(e.support) for e in training_episodes(TASKS, config, step)}
        assert min(ks) >= 2 and max(ks) <= config.most_demonstrations(step)
    late = {len(e.support) for step in range(10, 40) for e in training_episodes(TASKS, config, step)}
    assert late == set(range(2, 9))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"kind": "even"}, "mixing must be uniform, proportional, temperature, weights or group_dro, but is 'even'"),
        ({"kind": "temperature", "temperature": 0.0}, "mixing_temperature must be above 0, but is 0.0"),
        ({"kind": "weights"}, "mixing is weights, but mixing_weights has 0 weights"),
        ({"weights": {"small": 1}}, "mixing is uniform, but mixing_weights has 1 weight. Set mixing to weights"),
        ({"kind": "weights", "weights": {"small": -1}}, "the weight of task 'small' must be 0 or more, but is -1"),
        ({"kind": "weights", "weights": {"small": float("nan")}}, "the weight of task 'small' must be 0 or more"),
    ],
)
def test_a_mixing_that_cannot_be_is_refused_at_once(setting, message):
    with pytest.raises(UserError, match=message):
        Mixing(**setting)


def test_wrong_trainer_settings_are_refused_before_any_step():
    with pytest.raises(UserError, match="mixing is weights, but mixing_weights has 0 weights"):
        TrainerConfig(mixing="weights")
    with pytest.raises(UserError, match=r"curriculum_steps must be at least 0, but is -1"):
        TrainerConfig(curriculum_steps=-1)
    with pytest.raises(UserError, match="no meta-training task has a weight above 0"):
        Mixing("weights", weights={"else": 1}).chances(TASKS)


# -- in the trainer --------------------------------------------------------------------------------------------------


def test_a_weight_of_an_unknown_task_is_refused_by_the_trainer(tmp_path):
    config = replace(TRAINER, mixing="weights", mixing_weights={"train0": 1.0, "trian1": 1.0})
    with pytest.raises(UserError, match=r"mixing_weights: no task 'trian1' among .* Did you mean train1"):
        make(tmp_path, config=config)


def test_a_mixed_run_on_a_curriculum_resumes_to_the_same_weights(tmp_path):
    mixed = {"mixing": "weights", "mixing_weights": {"train0": 1.0, "train2": 3.0}, "curriculum_steps": 3}
    config = replace(TRAINER, episodes_per_step=2, save_steps=2, **mixed)
    straight = make(tmp_path / "straight", config=config)
    straight.run()
    broken = make(tmp_path / "broken", config=config)
    for _ in range(2):
        broken.take_step()
    broken.save_checkpoint()
    resumed = make(tmp_path / "broken", config=config)
    resumed.run()
    assert resumed.step == 4 and equal(weights(straight), weights(resumed))


@pytest.mark.parametrize(
    ("by", "weights", "shares"),
    [
        ("task", {"a": 1, "c": 3}, {"a": 0.25, "c": 0.75}),
        ("family", {"f": 1, "g": 2, "d": 1}, {"a": 1 / 8, "b": 1 / 8, "c": 1 / 4, "d": 1 / 4, "e": 1 / 4}),
        ("suite", {"x": 1, "../y": 3}, {"a": 1 / 8, "e": 1 / 8, "b": 1 / 4, "c": 1 / 4, "d": 1 / 4}),
        ("suite", {"x": 1}, {"a": 1 / 2, "e": 1 / 2}),
    ],
)
def test_weights_of_families_and_suites_are_shared_evenly_by_their_tasks(by, weights, shares):
    mixing = Mixing("weights", weights=weights, by=by)
    mixing.check(GROUPED)
    assert mixing.chances(GROUPED) == pytest.approx(dict.fromkeys("abcde", 0) | shares)
    counts = Counter(names(mixing, range(4000), tasks=GROUPED))
    assert set(counts) == set(shares)
    assert chisquare([counts[name] for name in shares], [4000 * share for share in shares.values()]).pvalue > 1e-3


@pytest.mark.parametrize(
    ("by", "name", "message"),
    [
        ("suite", "../yy", r"no suite '../yy' among the meta-training tasks. Did you mean \.\./y"),
        (
            "family",
            "a",
            "no family 'a' among .* tasks. It is a task: set trainer.mixing_weights_by task",
        ),
        ("task", "x", "no task 'x' among .* tasks. It is a suite: set trainer.mixing_weights_by suite"),
        ("task", "zz", "no task 'zz' among the meta-training tasks. Known: a, b, c, d, e"),
    ],
)
def test_a_weight_that_names_nothing_is_refused_with_what_it_may_mean(by, name, message):
    with pytest.raises(UserError, match=message):
        Mixing("weights", weights={name: 1}, by=by).check(GROUPED)
    with pytest.raises(UserError, match="mixing_weights_by must be task, family, suite or type, but is 'source'"):
        Mixing("weights", weights={"a": 1}, by="source")


@given(
    seed=st.integers(0, 10**6), order=st.permutations(["a", "b", "c"]), by=st.sampled_from(["task", "family", "suite"])
)
def test_the_order_of_the_suites_of_a_mixture_changes_no_draw(seed, order, by):
    suites = {name: suite_of(name, **{f"{name}{i}": f"source {name}{i % 2}" for i in range(3)}) for name in "abc"}
    one, other = merge(suites).split("meta_train"), merge({name: suites[name] for name in order}).split("meta_train")
    weights = {"task": {"a1": 1, "c0": 2}, "family": {"source a0": 1, "source b1": 2}, "suite": {"a": 1, "c": 5}}[by]
    for mixing in (*list(MIXINGS.values())[:3], Mixing("weights", weights=weights, by=by)):
        assert names(mixing, range(9), seed, one) == names(mixing, range(9), seed, other[::-1])
