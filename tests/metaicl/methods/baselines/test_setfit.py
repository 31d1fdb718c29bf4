"""SetFit is the library's, by its own defaults, and leaves everything but its answers as it was."""

from __future__ import annotations

import copy
import random
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from on_toys import TASKS, scores

from metaicl.lm.encoder import Encoder
from metaicl.methods.baselines.setfit import SetFit, library, same_randomness
from metaicl.methods.metric.embedding import ABSENT
from metaicl.testing import draw
from task_suites.core.errors import UserError
from task_suites.formats.prompt_format import PromptFormat

EPISODE = draw(TASKS["options"], k=6)


def built(encoder: Encoder, **options: object) -> SetFit:
    pytest.importorskip("setfit", reason="the library setfit is not installed: pip install 'metaicl[setfit]'")
    return SetFit.build(encoder, PromptFormat(), options)


def test_the_defaults_are_the_librarys():
    setfit = pytest.importorskip("setfit", reason="the library setfit is not installed: pip install 'metaicl[setfit]'")
    theirs, ours = setfit.TrainingArguments(report_to="none"), SetFit.Config()
    assert (ours.epochs, ours.batch_size, ours.learning_rate) == (
        theirs.embedding_num_epochs,
        theirs.embedding_batch_size,
        theirs.body_embedding_learning_rate,
    )
    assert (ours.sampling_strategy, ours.seed) == (theirs.sampling_strategy, theirs.seed)
    assert theirs.max_steps == -1 and ours.max_steps == 0  # no limit


def test_the_answers_are_those_of_the_library_used_by_hand(encoder, tmp_path):
    found = scores(built(encoder, learning_rate=1e-3), EPISODE)
    from datasets import Dataset
    from sklearn.linear_model import LogisticRegression

    setfit = library()
    model = setfit.SetFitModel(copy.deepcopy(encoder.model).requires_grad_(True), LogisticRegression())
    rows = {
        "text": [e.input for e in EPISODE.support],
        "label": [EPISODE.task.labels.index(e.output) for e in EPISODE.support],
    }
    settings = setfit.TrainingArguments(
        str(tmp_path), body_learning_rate=1e-3, report_to="none", save_strategy="no", show_progress_bar=False
    )
    with same_randomness():
        setfit.Trainer(model, settings, Dataset.from_dict(rows)).train()
    expected = np.log(model.predict_proba([q.input for q in EPISODE.queries], as_numpy=True))
    assert np.allclose(found, expected, rtol=0, atol=1e-4)
    plain = LogisticRegression().fit(encoder.model.encode(rows["text"]), rows["label"])
    untuned = plain.predict_log_proba(encoder.model.encode([q.input for q in EPISODE.queries]))
    assert np.abs(found - untuned).max() > 0.01  # and the encoder was tuned


def test_learning_changes_a_copy_of_the_encoder_and_no_global_generator(encoder):
    before = {name: p.clone() for name, p in encoder.state_dict().items()}

    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed()
    expected = drawn()
    seed()
    first = scores(built(encoder, max_steps=2), EPISODE)
    assert drawn() == expected
    assert np.array_equal(first, scores(built(encoder, max_steps=2), EPISODE))  # whatever was drawn before
    assert all(torch.equal(before[name], p) for name, p in encoder.state_dict().items())
    assert not [name for name, p in encoder.named_parameters() if p.requires_grad]


def test_one_class_leaves_nothing_to_learn(encoder):
    support = tuple(e for e in EPISODE.support if e.output == "fruit")
    assert (scores(built(encoder), replace(EPISODE, support=support)) == [0.0, ABSENT]).all()
    assert (scores(built(encoder), replace(EPISODE, support=())) == ABSENT).all()


def test_without_the_library_the_way_to_get_it_is_said(encoder, monkeypatch):
    monkeypatch.setitem(sys.modules, "setfit", None)
    with pytest.raises(UserError, match=r"is not installed.*pip install 'metaicl\[setfit\]'"):
        SetFit.build(encoder, PromptFormat()).adapt(EPISODE.task, EPISODE.support)
