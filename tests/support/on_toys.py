"""Methods built on tiny backbones, and episodes of small tasks of every form."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backbones import make_encoder, make_frozen, make_learnable, tiny_config
from scipy.special import softmax
from toys import choice_task, tag_task, text_task, toy_suite, toy_task

from metaicl.lm.kinds import AnyBackbone
from metaicl.methods import METHODS, method_class
from metaicl.methods.base import Method
from metaicl.testing import draw
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainerConfig
from metaicl.training.trainer import Trainer
from task_suites.core.idle import defaults_of
from task_suites.episodes import Episode
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


def short_tags() -> Task:
    """Two words to tag: what a model generates may be twice as long as what is demonstrated."""

    def load(split: str) -> list[Example]:
        return [replace(e, tokens=(e.tokens[1], e.tokens[3]), tags=("O", "B-X")) for e in whole.examples(split)]

    whole = tag_task()
    return whole.replace(load=load)


TASKS = {"options": toy_task(), "choice": choice_task(), "text": text_task(), "tags": short_tags()}
INNER = [name for name in METHODS if "inner_steps" in defaults_of(method_class(name).Config)]
TUNED = ("ct_kv", "ct_prompt", "prefix_tuning", "prompt_tuning", "ttt")  # they take steps to answer in a prompt
FAST: dict[str, dict[str, Any]] = {name: {"inner_steps": 2, "test_steps": None} for name in INNER}
FAST["platipus"] |= {"inner_steps": 1, "members": 2}
FAST["bmaml"] |= {"inner_steps": 1, "particles": 2}
FAST["abmll"] |= {"inner_steps": 1, "members": 2}
FAST |= {name: {"steps": 2} for name in ("finetune", "transfer", "setfit_lm", *TUNED)}
FAST["stacking"] = {"ridge": 100.0}  # else the random model's in-context learning gets no weight
FAST["setfit"] = {"max_steps": 2, "learning_rate": 1e-3}
# methods that differ from another one by a part or take long: all that they promise is tried in `make slow`
RARER = {
    *("icl_contextual", "icl_pmi", "ct_prompt", "prefix_tuning", "logistic_tfidf", "prototypes", "protonet_names"),
    *("protonet_cosine", "matching_fce", "setfit_lm", "meta_sgd", "mtnet", "fomaml_icl", "transfer", "ict"),
    *("metaicl_all_answers", "setfit", "abmll"),
}
TRAINED = [n for n in METHODS if method_class(n).meta_trained]


def built(name: str, backbone: AnyBackbone | None = None, **options: Any) -> Method:
    """Return a method on a backbone at hand, or on a frozen one of its own, with the default format."""
    return method_class(name).build(backbone or make_frozen(), PromptFormat(), options)


def tried(names: Iterable[str]) -> list[Any]:
    """Return the parameters of a test of every method: some are slow."""
    return [pytest.param(name, marks=pytest.mark.slow) if name in RARER else name for name in names]


def build(name: str, **options):
    method = method_class(name)
    return method.build(fresh_backbone(method), PromptFormat(), options)


def fresh_backbone(method: type[Method]) -> AnyBackbone:
    if "causal" not in method.backbones:
        return make_encoder()
    return make_learnable() if method.weights == "lora" else make_frozen()


def answers(method, e: Episode):
    return method.adapt(e.task, e.support).answers([q.hidden() for q in e.queries])


def fast(name: str, **options: Any) -> Method:
    return build(name, **{**FAST.get(name, {}), **options})


def scores(method: Method, e: Episode, support: tuple[Example, ...] | None = None) -> np.ndarray:
    return np.array(
        method.adapt(e.task, e.support if support is None else support).scores([q.hidden() for q in e.queries])
    )


STEPS = TrainerConfig(
    max_steps=3, episodes_per_step=2, k=4, queries=3, learning_rate=1e-3, warmup_steps=1, logging_steps=1
)


def trained(name: str, folder: Path) -> tuple[dict[str, Any], Trainer]:
    """Losses of three steps, the weights after them and a prediction."""
    config = MethodConfig(name, FAST.get(name, {}), method_class(name).backbone_config(tiny_config()), PromptFormat())
    trainer = Trainer(config.build(), config, toy_suite().split("meta_train"), STEPS, folder / name, progress=False)
    losses = [trainer.take_step()["loss"] for _ in range(3)]
    learned = {n: p.detach().clone() for n, p in trainer.method.learned().items()}
    found = softmax(scores(trainer.method, draw(TASKS["options"])), axis=1)
    return {"losses": losses, "weights": learned, "scores": found}, trainer
