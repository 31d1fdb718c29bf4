"""The attempts that are kept for the built-in suite are those that a search from the beginning finds."""

from __future__ import annotations

import random

import pytest

from task_suites.embedded import attempts, family_files
from task_suites.embedded.family_files import read_families
from task_suites.embedded.generator import MAX_ATTEMPTS, SIZES, attempts_of, example_at, materialise
from task_suites.sources.embedded import open_embedded

FAMILIES = {family.name: family for family in read_families()}
DRAWS = {(f.name, f"{f.name}_{b.name}"): b.draw for f in FAMILIES.values() for b in f.blueprints}


def known(family: str, task: str, split: str) -> list[int]:
    return list(attempts.known(family, FAMILIES[family].sources, task, split))


def test_the_kept_attempts_are_of_the_files_as_they_are():
    """Where this fails, the folder was changed: run `python -m task_suites.embedded`."""
    assert all(len(known(*name, split)) >= size for name in DRAWS for split, size in SIZES.items())


@pytest.mark.parametrize("split", SIZES)
def test_no_attempt_before_a_kept_one_gives_an_example(split):
    rng = random.Random(0)
    for (family, task), draw in DRAWS.items():
        kept = known(family, task, split)
        for index in rng.sample(range(len(kept)), 4):
            found = [example_at(task, split, index, draw, first) for first in (0, kept[index])]
            assert found[0] == found[1], (task, split, index)
        assert max(kept) < MAX_ATTEMPTS


def test_a_search_from_the_beginning_gives_the_kept_attempts_and_the_same_examples():
    (family, task), draw = list(DRAWS.items())[7]
    for split in SIZES:
        assert attempts_of(task, split, draw) == known(family, task, split)
        assert tuple(materialise(task, split, draw)) == open_embedded()[task].examples(split)


def test_attempts_found_for_other_files_are_ignored():
    assert len(known("farm", "farm_alive", "train")) >= SIZES["train"]
    assert len(attempts.known("farm", "others", "farm_alive", "train")) == 0
    assert len(attempts.known("no_family", FAMILIES["farm"].sources, "farm_alive", "train")) == 0
    assert len(known("farm", "no_task", "train")) == 0


def test_a_change_of_one_family_leaves_the_attempts_of_the_others(tmp_path):
    folder = family_files.FOLDER
    farm, court = (next(folder.glob(f"*-{name}.yaml")) for name in ("farm", "court"))
    changed = tmp_path / farm.name
    changed.write_bytes(farm.read_bytes() + b"# changed\n")
    assert attempts.sources(changed) != attempts.sources(farm) == FAMILIES["farm"].sources
    assert attempts.sources(court) == FAMILIES["court"].sources
    changed.write_bytes(farm.read_bytes().replace(b"\n", b"\r\n"))  # as a checkout on Windows
    assert attempts.sources(changed) == attempts.sources(farm)
