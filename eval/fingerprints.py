"""Hashes that say whether finished work may be taken again: of trainings, and of what answers depend on.

A hash covers everything that the result depends on besides the version of this program: settings, weights, data,
precision, the rule of encoding, and the source of classes and functions that the user wrote.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

from metaicl.lm.config import BackboneConfig
from metaicl.lm.devices import device_for, settled
from metaicl.lm.text_encoder import ENCODING
from metaicl.methods import METHODS, method_class
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainRun
from metaicl.training.identity import model_identity
from metaicl.training.resolved import resolved
from task_suites.core.files import sha256
from task_suites.provenance import prompt_fingerprint
from task_suites.sources import SuiteConfig, load_named
from task_suites.task import TaskSuite

TRAINED_ON = ("meta_train", "meta_validation")  # the sides that a training reads


def answers_print(config: MethodConfig, *weights: str) -> str:
    """Return a hash of what a method's answers depend on besides the episode.

    Args:
        weights: hashes of the weights that it learned.
    """
    code = source_prints(config.name, config.format.target)
    others = method_class(config.name).other_models(config.options)
    models = [model_print(replace(config.backbone, model=name)) for name in (config.backbone.model, *others)]
    return hashed([asdict(config), weights, *chain(*models), *code])


def training_print(run: TrainRun, suite: TaskSuite, *more: Any) -> str:
    """Return a hash of what a training depends on (and `more`), the method's defaults of this version and the content
    of its tasks among it; drawing a bar makes no difference."""
    run = resolved(replace(run, progress=True, suite=SuiteConfig()))  # the tasks' content stands for their suites
    code = source_prints(run.method, run.format.target)
    return hashed([asdict(run), *model_print(run.backbone), training_tasks(suite), *code, *more])


def training_tasks(suite: TaskSuite) -> dict[str, list[tuple[str, str]]]:
    """Return the tasks of each side that a training reads, with a hash of all that their prompts are made from."""
    return {side: sorted((task.name, prompt_fingerprint(task)) for task in suite.split(side)) for side in TRAINED_ON}


def model_print(config: BackboneConfig) -> list[Any]:
    """Return what a model's answers depend on besides its settings: its weights, its precision on this machine, the
    rule of encoding."""
    return [model_identity(config), settled(config, device_for(config)).dtype, ENCODING]


def source_prints(*names: str) -> list[str]:
    """Return a hash of the source file of each `package.module:Name` among the names; our own methods have none."""
    return [_source_print(name) for name in names if name and name not in METHODS]


def _source_print(name: str) -> str:
    try:
        file = inspect.getsourcefile(load_named(name))
    except TypeError:  # it was written in another language, or is not a class or function
        file = None
    return sha256(Path(file)) if file and Path(file).is_file() else name


def hashed(value: Any) -> str:
    """Return the SHA-256 of a value as JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()
