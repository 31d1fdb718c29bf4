"""Class means of a model's own vectors, with and without the labels' names, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from on_toys import TASKS, built, scores
from sklearn.metrics.pairwise import euclidean_distances

from metaicl.lm.encoder import Encoder
from metaicl.methods.metric.embedding import ABSENT
from metaicl.testing import draw
from task_suites.core.errors import UserError

EPISODE = draw(TASKS["options"], k=8)


def vectors(encoder: Encoder, *texts: str | None) -> np.ndarray:
    """Those of sentence-transformers itself."""
    return encoder.model.encode(list(texts)).astype(float)


def test_a_class_mean_with_names_is_the_mean_of_shots_and_name_by_hand(encoder):
    found = scores(built("prototypes_names", encoder), EPISODE)
    means = []
    for label in EPISODE.task.labels:
        texts = [e.input for e in EPISODE.support if e.output == label]
        means.append(vectors(encoder, *texts, label).mean(0))
    asked = vectors(encoder, *[q.input for q in EPISODE.queries])
    assert np.allclose(found, -30.0 * euclidean_distances(asked, means, squared=True), rtol=0, atol=1e-4)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
@pytest.mark.parametrize("name", ["prototypes_names", "protonet_names"])
def test_names_without_demonstrations_are_the_names_alone(encoder, name, distance):
    alone = scores(built("label_names", encoder, distance=distance), EPISODE)
    assert np.allclose(scores(built(name, encoder, distance=distance), EPISODE, ()), alone, rtol=0, atol=1e-5)
    assert not (alone == ABSENT).any()


def test_label_names_do_not_look_at_the_demonstrations(encoder):
    method = built("label_names", encoder)
    assert np.array_equal(scores(method, EPISODE), scores(method, EPISODE, ()))


def test_a_class_without_a_demonstration_is_answered_by_its_name(encoder):
    one_class = tuple(e for e in EPISODE.support if e.output == "fruit")
    assert (scores(built("prototypes", encoder), EPISODE, one_class)[:, 1] == ABSENT).all()
    named, alone = (scores(built(name, encoder), EPISODE, one_class) for name in ("prototypes_names", "label_names"))
    assert np.allclose(named[:, 1], alone[:, 1], rtol=0, atol=1e-5)
    assert np.abs(named[:, 0] - alone[:, 0]).max() > 0.1


@pytest.mark.parametrize("name", ["label_names", "prototypes_names", "protonet_names"])
def test_tags_have_no_names(encoder, name):
    with pytest.raises(UserError, match="does not serve the task tags"):
        built(name, encoder).adapt(TASKS["tags"], draw(TASKS["tags"]).support)
