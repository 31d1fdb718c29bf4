"""A paper's protocol as its file has it: every row names a method, its options and its numbers."""

from __future__ import annotations

import pytest

from eval.reproduce.protocol import PAPERS, Published
from eval.reproduce.table import METRICS
from metaicl.lm.models import resolve
from metaicl.training.config import TrainerConfig


def test_the_training_is_the_papers():
    published = Published.read("metaicl")
    trainer = TrainerConfig(**published.training)
    assert (trainer.max_steps, trainer.episodes_per_step, trainer.learning_rate) == (30000, 8, 1e-5)
    assert (trainer.k, trainer.optim, trainer.mixing, trainer.rate(0)) == (16, "adamw_8bit", "proportional", 1e-5)
    assert list(published.seeds) == [100, 13, 21, 42, 87] and published.model == "openai-community/gpt2-large"


@pytest.mark.parametrize("paper", PAPERS)
def test_every_row_names_a_method_with_its_options_and_has_numbers_of_known_settings(paper):
    published = Published.read(paper)
    assert resolve(published.model) == published.model  # a name that the hub knows
    assert set(published.metrics.values()) <= set(METRICS)
    for row in published.rows.values():
        published.prompt_format(row)
        assert set(row.published) <= set(published.metrics)
        assert not row.trained or row.answers_as or paper == "ict"
        for numbers in row.published.values():
            assert len(numbers) == 1 + (row.demonstrated and paper == "metaicl")
