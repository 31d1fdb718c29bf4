"""SetFit (Tunstall et al. 2022, arXiv 2209.11055) by its own library: a sentence encoder is fine-tuned on pairs of
demonstrations, of one class or of two, then a logistic regression learns the classes from its vectors.

The library is the extra `setfit`. Pairs, loss, schedule and head are its own, with its defaults; so is its seed, which
decides the order of pairs and the dropout. What is fine-tuned is a copy of the encoder, which stays as it was.
"""

from __future__ import annotations

import copy
import logging
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from metaicl.lm.encoder import Encoder
from metaicl.lm.models import Kind
from metaicl.methods.base import Method, Space
from metaicl.methods.metric.embedding import ABSENT
from metaicl.methods.predictor import Predictor
from task_suites.core.errors import UserError
from task_suites.core.ranges import Count, Natural, Positive
from task_suites.example import Example
from task_suites.task import Task


class SetFit(Method):
    """SetFit by its own library. See the module's docstring."""

    label = "SetFit"
    note = "a sentence encoder tuned on pairs of demonstrations, then logistic regression"
    paper = "Tunstall et al. 2022, arXiv 2209.11055"
    backbones: ClassVar[frozenset[Kind]] = frozenset({"encoder"})
    weights = "frozen"
    reads_prompts = False
    order_free = False
    space: ClassVar[Space] = {"options.learning_rate": ("log", 5e-6, 2e-4), "options.epochs": ("int", 1, 4)}

    @dataclass(frozen=True)
    class Config(Method.Config):
        """The options of SetFit, with the library's defaults.

        Attributes:
            epochs: how often all pairs are gone through (its `num_epochs`).
            max_steps: the largest number of steps, whatever `epochs` says; 0: no limit.
            batch_size: pairs a step.
            learning_rate: the encoder's (its `body_learning_rate`).
            sampling_strategy: which pairs are taken: "oversampling" repeats the rarer kind of pair, "undersampling"
                leaves out some of the other, "unique" takes each pair once.
            seed: seeds the order of the pairs and the dropout.
        """

        epochs: Count = 1
        max_steps: Natural = 0
        batch_size: Count = 16
        learning_rate: Positive = 2e-5
        sampling_strategy: Literal["oversampling", "undersampling", "unique"] = "oversampling"
        seed: Natural = 42

    config: Config

    def refusal(self, task: Task) -> str | None:
        if reason := super().refusal(task):
            return reason
        return None if task.labels else "options of each example's own; SetFit needs a fixed list of labels"

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        return max((self._encoder.length(e.text) for e in (*support, *queries)), default=0)

    def tokens(self, episode: Any) -> int:
        return sum(len(self.backbone.encode(e.text)) for e in (*episode.support, *episode.queries))

    @property
    def _encoder(self) -> Encoder:
        encoder: Any = self.backbone
        return encoder  # type: ignore[no-any-return]

    def adapt(self, task: Task, support: Sequence[Example]) -> SetFitPredictor:
        """Tune a copy of the encoder on the support set.

        Raises:
            UserError: the library is not installed.
            TooLong: names a demonstration.
        """
        self.check_serves(task)
        names = sorted({e.output or "" for e in support})
        self._encoder.check_lengths([e.text for e in support])
        return SetFitPredictor(self._encoder, names, self.trained(support, names) if len(names) > 1 else None)

    def trained(self, support: Sequence[Example], names: Sequence[str]) -> Any:
        """Return the `SetFitModel` that has learned from the support set; its classes are the indices into `names`."""
        setfit = library()
        from datasets import Dataset
        from transformers.trainer_callback import PrinterCallback, ProgressCallback

        body = copy.deepcopy(self._encoder.model).float().requires_grad_(True)
        rows = {"text": [e.text for e in support], "label": [names.index(e.output or "") for e in support]}
        config = self.config
        with tempfile.TemporaryDirectory() as folder, same_randomness(), without_bars(), torch.enable_grad():
            settings = setfit.TrainingArguments(
                output_dir=folder,
                num_epochs=config.epochs,
                max_steps=config.max_steps or -1,
                batch_size=config.batch_size,
                body_learning_rate=config.learning_rate,
                sampling_strategy=config.sampling_strategy,
                seed=config.seed,
                report_to="none",
                save_strategy="no",
                logging_strategy="no",
                show_progress_bar=False,
            )
            model = setfit.SetFitModel(model_body=body, model_head=_head())
            trainer = setfit.Trainer(model=model, args=settings, train_dataset=Dataset.from_dict(rows))
            trainer.st_trainer.args.dataloader_pin_memory = torch.cuda.is_available()  # elsewhere torch warns of it
            for callback in (PrinterCallback, ProgressCallback):
                trainer.remove_callback(callback)
            trainer.train()
        return model


class SetFitPredictor(Predictor):
    """Log-probabilities of the classes; an option without a demonstration gets `ABSENT`."""

    def __init__(self, encoder: Encoder, names: Sequence[str], model: Any):
        """`model` is None where there is nothing to learn: fewer than two classes."""
        self.encoder, self.names, self.model = encoder, list(names), model

    def scores(self, queries: Sequence[Example]) -> list[np.ndarray]:
        self.encoder.check_lengths([q.text for q in queries])
        column = {name: i for i, name in enumerate(self.names)}
        found = np.zeros((len(queries), len(self.names)))
        if self.model is not None and queries:
            vectors = self.model.model_body.encode([q.text for q in queries], show_progress_bar=False)
            found = self.model.model_head.predict_log_proba(vectors)
        return [
            np.array([row[column[o]] if o in column else ABSENT for o in q.options or ()])
            for q, row in zip(queries, found, strict=True)
        ]


def library() -> Any:
    """Return the library, quiet.

    Raises:
        UserError: it is not installed.
    """
    try:
        import setfit
    except ModuleNotFoundError as error:
        if error.name != "setfit":
            raise
        raise UserError(
            "the method setfit is done by the library of that name, which is not installed",
            fix="Run: pip install 'metaicl[setfit]'. Or use logistic, which needs no more.",
        ) from None
    setfit.logging.set_verbosity(logging.WARNING)
    return setfit


def _head() -> Any:
    """Return the head that `SetFitModel.from_pretrained` makes where none was saved."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression()


@contextmanager
def without_bars() -> Iterator[None]:
    """A context without the progress bars of datasets, which the library maps sixteen rows with."""
    from datasets.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    shown = not are_progress_bars_disabled()
    disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            enable_progress_bars()


@contextmanager
def same_randomness() -> Iterator[None]:
    """A context that leaves the global generators as it found them: the library seeds them all."""
    python, numpy_ = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy_)
