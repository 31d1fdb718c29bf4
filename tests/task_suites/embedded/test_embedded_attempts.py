"""The attempts that are kept for the built-in suite are those that a search from the beginning finds."""

from __future__ import annotations

import random

import pytest

from task_suites.embedded import attempts
from task_suites.embedded.generator import MAX_ATTEMPTS, SIZES, attempts_of, example_at, materialise
from task_suites.sources.embedded import FAMILIES, open_embedded

BLUEPRINTS = [(family, blueprint) for family in FAMILIES for blueprint in family.blueprints]


def test_the_kept_attempts_are_of_the_modules_as_they_are():
    """Where this fails, the folder was changed: run `python -m task_suites.embedded.attempts`."""
    names = [f"{family.name}_{blueprint.name}" for family, blueprint in BLUEPRINTS]
    assert all(len(attempts.known(name, split)) >= size for name in names for split, size in SIZES.items())


@pytest.mark.parametrize("split", SIZES)
def test_no_attempt_before_a_kept_one_gives_an_example(split):
    rng = random.Random(0)
    for family, blueprint in BLUEPRINTS:
        name = f"{family.name}_{blueprint.name}"
        kept = attempts.known(name, split)
        for index in rng.sample(range(len(kept)), 4):
            found = [
                example_at(name, split, index, lambda r, f=family, b=blueprint: b.draw(r, f.lexicon), first)
                for first in (0, kept[index])
            ]
            assert found[0] == found[1], (name, split, index)
        assert max(kept) < MAX_ATTEMPTS


def test_a_search_from_the_beginning_gives_the_kept_attempts_and_the_same_examples():
    family, blueprint = BLUEPRINTS[7]
    name = f"{family.name}_{blueprint.name}"
    for split in SIZES:
        assert attempts_of(family, blueprint, split) == list(attempts.known(name, split))
        searched = materialise(name, split, lambda rng: blueprint.draw(rng, family.lexicon))
        assert tuple(searched) == open_embedded()[name].examples(split)


def test_attempts_of_other_modules_are_ignored(monkeypatch):
    attempts._known.cache_clear()
    try:
        with monkeypatch.context() as patch:
            patch.setattr(attempts, "sources", lambda: "others")
            assert len(attempts.known("farm_alive", "train")) == 0
    finally:
        attempts._known.cache_clear()
    assert len(attempts.known("farm_alive", "train")) >= SIZES["train"]
    assert len(attempts.known("no_task", "train")) == 0
