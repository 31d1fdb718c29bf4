"""Which episodes a step takes: a function of the configuration and the step."""

from __future__ import annotations

from dataclasses import replace

from training import CONFIG, TASKS

from metaicl.training.step_episodes import training_episodes


def test_episodes_of_a_step_depend_on_seed_and_step_alone_and_visit_every_task():
    again = training_episodes(TASKS, CONFIG, 2)
    assert again == training_episodes(TASKS[::-1], CONFIG, 2)
    assert again != training_episodes(TASKS, replace(CONFIG, seed=1), 2)
    seen = [e.task.name for step in range(3) for e in training_episodes(TASKS, CONFIG, step)]
    assert {name: seen.count(name) for name in set(seen)} == {"train0": 4, "train1": 4, "train2": 4}


def test_k_is_drawn_between_its_bounds():
    ks = {len(e.support) for s in range(8) for e in training_episodes(TASKS, replace(CONFIG, k=6, k_min=2), s)}
    assert min(ks) >= 2 and max(ks) <= 6 and len(ks) > 2


def test_demonstrations_grow_with_the_step_to_k():
    config = replace(CONFIG, k=6, curriculum_steps=5)
    sizes = [{len(e.support) for e in training_episodes(TASKS, config, step)} for step in (0, 1, 5, 9)]
    assert sizes == [{1}, {2}, {6}, {6}]


def test_a_step_of_several_episodes_takes_those_that_single_steps_take():
    one_by_one = [e for step in range(4) for e in training_episodes(TASKS, replace(CONFIG, episodes_per_step=1), step)]
    assert training_episodes(TASKS, replace(CONFIG, episodes_per_step=4), 0) == one_by_one
