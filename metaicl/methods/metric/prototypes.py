"""Nearest class means of the backbone's vectors as they are: prototypical networks (metaicl/methods/metric/protonet.py)
without meta-training, and their zero-shot form, in which a class is the vector of its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from metaicl.methods.base import Space
from metaicl.methods.metric.embedding import EmbeddingPredictor
from metaicl.methods.metric.protonet import ProtoNet
from task_suites.core.ranges import Positive
from task_suites.example import Example, Form
from task_suites.task import Task


class Prototypes(ProtoNet):
    """The nearest class mean. See the module's docstring."""

    label = "Class means"
    note = "nearest class mean of the model's own vectors"
    paper = ProtoNet.paper
    meta_trained = False
    space: ClassVar[Space] = {"options.distance": ("choice", "euclidean", "cosine")}

    @dataclass(frozen=True)
    class Config(ProtoNet.Config):
        learn_map: bool = field(default=False, init=False)  # not options: nothing is learned
        scale: Positive = field(default=30.0, init=False)

    config: Config


class NamedPrototypes(Prototypes):
    """The nearest class mean, the class's name being one more demonstration of it."""

    label = "Class means with names"
    note = "nearest class mean of the model's own vectors, each label's name being one more demonstration"
    paper = ""
    serves = frozenset[Form]({"options"})

    @dataclass(frozen=True)
    class Config(Prototypes.Config):
        label_names: bool = True

    config: Config


class LabelNames(NamedPrototypes):
    """The nearest label name. Demonstrations are not looked at."""

    label = "Label names"
    note = "the nearest label name, without demonstrations"
    paper = "Chang et al. 2008, Importance of semantic representation: dataless classification"

    @dataclass(frozen=True)
    class Config(NamedPrototypes.Config):
        label_names: bool = field(default=True, init=False)

    config: Config

    def adapt(self, task: Task, support: Sequence[Example]) -> EmbeddingPredictor:
        return super().adapt(task, ())
