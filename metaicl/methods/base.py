"""The contract of every way of learning from a support set.

The outer loop (metaicl/training/trainer.py) and the harness (eval/harness.py) know this file and no algorithm. A method
of one's own subclasses `Method`, in any module, and is named in a config as `package.module:Name`.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal, TypeVar, cast

import torch
from torch import Tensor, nn

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.kinds import AnyBackbone
from metaicl.lm.models import KINDS, Kind, kind_of
from metaicl.methods.options import Options
from metaicl.methods.predictor import Predictor
from metaicl.methods.registry import name_of, not_meta_trained
from task_suites.core.errors import UserError, UserTypeError
from task_suites.episodes import Episode
from task_suites.example import Example, Form
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task

EVERY_FORM = frozenset[Form]({"options", "text", "tags"})
EVERY_KIND = frozenset[Kind]({"causal", "encoder"})
EMPTY: Mapping[str, Any] = MappingProxyType({})
Built = TypeVar("Built", bound="Method")
Weights = Literal["frozen", "lora", "full"]
Space = Mapping[str, Sequence[Any]]
RATE: Space = {"learning_rate": ("log", 1e-4, 3e-3)}


class Method(nn.Module, ABC):
    """A way of learning from a support set.

    A class states in its attributes what it is and what it needs, and in its `Config` what options it has. All of them
    but label, note and paper are inherited.

    Attributes:
        label: its name in tables; by default the name of the class.
        note: what it does, in half a sentence.
        paper: where it was published.
        meta_trained: whether it is meta-trained before it is used; `forward` then gives the loss of the outer loop.
        backbones: the kinds of backbone that it runs on: "causal" (a causal language model, `Backbone`), "encoder" (a
            sentence encoder, `Encoder`), or both.
        weights: which of the backbone's weights it learns, in meta-training or from a support set; None: any.
        adapters: options of `BackboneConfig` that the method chooses where the user gives none.
        required_format: the fields of `PromptFormat` that have to have a certain value, with that value.
        space: what `metaicl tune` searches, and how far (`eval/tune.py`); empty is `RATE` where it is meta-trained.
        serves: the forms of example that it can answer.
        order_free: whether answers are the same for any order of the support set.
        reads_prompts: whether a prompt format, an instruction and label words make a difference to it.
        dropped: demonstrations left out of training prompts so far (only where the user allowed it).
        config: the options of this one.
    """

    @dataclass(frozen=True)
    class Config(Options):
        """A method that declares no `Config` has no options."""

    label: ClassVar[str]
    note: ClassVar[str]
    paper: ClassVar[str]
    meta_trained: ClassVar[bool] = False
    backbones: ClassVar[frozenset[Kind]] = frozenset({"causal"})
    weights: ClassVar[Weights | None] = None
    adapters: ClassVar[Mapping[str, Any]] = EMPTY
    required_format: ClassVar[Mapping[str, Any]] = EMPTY
    space: ClassVar[Space] = EMPTY
    reads_prompts: bool = True
    serves: frozenset[Form] = frozenset({"options"})
    order_free: bool = False
    dropped: int = 0
    config: Config

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for fact, unsaid in (("label", cls.__name__), ("note", ""), ("paper", "")):
            if fact not in vars(cls):
                setattr(cls, fact, unsaid)
        if not issubclass(cls.Config, Options) or "__dataclass_fields__" not in vars(cls.Config):
            raise UserTypeError(
                f"{cls.__name__}.Config must be a frozen dataclass that inherits from its parent's Config",
                fix="Write @dataclass(frozen=True) above it, and class Config(Method.Config).",
            )

    def __init__(self, backbone: Backbone, form: PromptFormat, config: Config):
        super().__init__()
        self.backbone, self.form, self.config = backbone, form, config

    @classmethod
    def configured(cls, options: Mapping[str, Any]) -> Config:
        """Return the options as a user gives them, with the defaults of all others.

        Raises:
            UserError: an unknown option, one that is missing, or a value of the wrong type or outside of its range.
        """
        return cls.Config.given(name_of(cls), options)

    @classmethod
    def other_models(cls, options: Mapping[str, Any]) -> list[str]:
        """Return the models beside the backbone that the method's answers depend on, by their names."""
        return []

    @classmethod
    def check_kind(cls, model: str, kind: Kind | None = None) -> None:
        """Raise unless the method runs on a model of this kind; where none is given, on the kind of the model's name.

        Raises:
            UserError: it does not, or there is no such model.
        """
        if cls.backbones == EVERY_KIND:
            return
        kind = kind or kind_of(model)
        if kind not in cls.backbones:
            runs = " or ".join(KINDS[one] for one in sorted(cls.backbones))
            other = "minilm-l6" if kind == "causal" else "smollm2-135m"
            raise UserError(
                f"{name_of(cls)} runs on {runs}, but {model} is {KINDS[kind]}",
                fix=f"Give another model, such as --model {other}, or use another method.",
            )

    @classmethod
    def backbone_config(cls, config: BackboneConfig, shared: bool = False) -> BackboneConfig:
        """Return `config` with a value for every option: the one given, else the method's, else the general one.

        Args:
            shared: whether `config` serves several methods. Its `weights` then speaks of those that learn any.

        Raises:
            UserError: the weights that `config` lets learn are not those that the method needs.
        """
        if shared and cls.weights == "frozen":
            config = replace(config, weights=None)
        if config.weights and cls.weights and (config.weights == "frozen") != (cls.weights == "frozen"):
            learns, way = (
                ("none", "use a method that learns them")
                if cls.weights == "frozen"
                else ("some", "set it to lora or full")
            )
            raise UserError(
                f"weights is {config.weights}, but {name_of(cls)} learns {learns} of the model's weights",
                fix=f"Leave weights out, or {way}.",
            )
        own = {"weights": cls.weights, **cls.adapters}
        return replace(config, **{n: v for n, v in own.items() if getattr(config, n) is None}).resolved()

    @classmethod
    def prompt_format(cls, form: PromptFormat) -> PromptFormat:
        """Return `form` with the fields that the method requires; a field that is unset is false.

        Raises:
            UserError: a field that the method requires was given another value.
        """
        for name, needed in cls.required_format.items():
            if (given := getattr(form, name)) is not None and given != needed:
                raise UserError(
                    f"format.{name} is {str(given).lower()}, but {name_of(cls)} needs {str(needed).lower()}",
                    fix=f"Leave format.{name} out, or use another method.",
                )
        return replace(form, **cls.required_format).resolved()

    @classmethod
    def build(cls: type[Built], backbone: AnyBackbone, form: PromptFormat, options: Mapping[str, Any] = EMPTY) -> Built:
        """Return the method, with its options as a user gives them.

        Raises:
            UserError: `configured`'s and `prompt_format`'s, a backbone of a kind that the method does not run on, or a
                class that does not say how to adapt.
        """
        if abstract := sorted(cls.__abstractmethods__):
            raise UserError(
                f"method {name_of(cls)} does not say how to {' and '.join(abstract)}", fix="Define it in its class."
            )
        cls.check_kind(backbone.config.model, backbone.kind)
        return cls(cast(Backbone, backbone), cls.prompt_format(form).subclassed(), cls.configured(options))

    def forward(self, episodes: Sequence[Episode]) -> tuple[Tensor, Tensor]:
        """Return (loss sum, its weight) over the episodes; the outer loop divides after adding up over processes.

        Raises:
            UserError: the method does not learn across tasks.
        """
        name = name_of(type(self))
        if self.meta_trained:
            fix = "Define forward(episodes), which returns a loss sum and its weight, or leave meta_trained out."
            raise UserError(f"method {name} sets meta_trained, but has no forward", fix=fix)
        raise not_meta_trained(name)

    def check_learns(self) -> None:
        """Raise unless the backbone has weights that learn.

        Raises:
            UserError: all of them are frozen.
        """
        if not self.backbone.trainable():
            what = f"{name_of(type(self))} needs weights to learn, but those of the model are frozen"
            raise UserError(what, fix="Load the model with weights lora or full.")

    def form_of(self, task: Task) -> PromptFormat:
        """Return the prompt format bound to a task."""
        return self.form.of(task, self.backbone.tokenizer.apply_chat_template)

    def zero_loss(self) -> Tensor:
        """Return 0, in the graph of every learned weight: with several processes all weights must have a gradient."""
        return torch.stack([0.0 * p.sum() for p in self.learned().values()]).sum()

    def tokens(self, episode: Episode) -> int:
        """Return the tokens that training on an episode runs, at least about: what it takes of a packed row."""
        form = self.form_of(episode.task)
        return sum(
            len(self.backbone.encode("".join(segment.text for segment in form.demonstration(e))))
            for e in (*episode.support, *episode.queries)
        )

    def longest(self, task: Task, support: Sequence[Example], queries: Sequence[Example]) -> int:
        """Tokens of the longest sequence that the model is given for answered queries and a support set (either may be
        empty); 0 where a method does not say. It is compared with the model's context before anything runs."""
        return 0

    @abstractmethod
    def adapt(self, task: Task, support: Sequence[Example]) -> Predictor:
        """Learn from the support set; meta-parameters stay as they are."""

    def predictor_for(self, task: Task, support: Sequence[Example]) -> Predictor:
        """Return what `adapt` gives.

        Raises:
            UserError: it gives no `Predictor`.
        """
        predictor: object = self.adapt(task, support)
        if not isinstance(predictor, Predictor):
            expected = "an object of a subclass of metaicl.Predictor"
            raise UserError(
                f"adapt of method {name_of(type(self))} returns no predictor",
                found=type(predictor).__name__,
                expected=expected,
            )
        return predictor

    def learned(self) -> dict[str, nn.Parameter]:
        """Return the meta-learned parameters by name."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def own_state(self) -> dict[str, Tensor]:
        """Return the meta-learned parameters outside of the backbone, for the checkpoint."""
        return {n: p.detach() for n, p in self.learned().items() if not n.startswith("backbone.")}

    def refusal(self, task: Task) -> str | None:
        """Why the method cannot answer this task, or None where it can."""
        if task.form in self.serves:
            return None
        return f"examples of the form {task.form}; it serves {' and '.join(sorted(self.serves))}"

    def check_serves(self, task: Task) -> None:
        """Raise a `UserError` when the method cannot answer this task."""
        if reason := self.refusal(task):
            fix = "Leave the task out, or use another method."
            raise UserError(f"{self.label} does not serve the task {task.name}", found=reason, fix=fix)


def seeded(*names: object) -> torch.Generator:
    """Return a generator (CPU) for one purpose; what it gives is a function of the names only."""
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def support_keys(examples: Sequence[Example]) -> str:
    """Return a name for a support set that two equal sets share, to seed what is random in an adaptation."""
    return "|".join(f"{e.content}={e.output or ' '.join(e.tags or ())}" for e in examples)


def unordered_keys(examples: Sequence[Example]) -> str:
    """Return `support_keys` of the same examples in any order."""
    return support_keys(sorted(examples, key=lambda e: support_keys([e])))
