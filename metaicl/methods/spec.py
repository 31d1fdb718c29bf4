"""`MethodSpec`: how to build a method, and the value that each option takes for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.methods.base import Method
from metaicl.methods.options import check_options, parameters
from task_suites.core.errors import UserError
from task_suites.core.idle import refuse_values
from task_suites.formats.prompt_format import PromptFormat
from task_suites.sources import load_named


@dataclass(frozen=True)
class MethodSpec:
    """How to build a method.

    Attributes:
        target: `package.module:Class`.
        label: its name in tables.
        note: what it does, in half a sentence.
        options: arguments of the class.
        trained: whether it is meta-trained before it is evaluated.
        format: fields of `PromptFormat` that the method needs (the channel format, the instruction).
        weights: the backbone weights that it learns, meta-trained or adapted; None where it may be any.
        space: what `metaicl tune` looks through, and how far (`eval/tune.py`); empty is `RATE` where it is trained.
        adapters: options of `BackboneConfig` that the method chooses where the user gives none.
    """

    target: str
    label: str
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    trained: bool = False
    format: Mapping[str, Any] = field(default_factory=dict)
    weights: str | None = "frozen"
    adapters: Mapping[str, Any] = field(default_factory=dict)
    space: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The registry's name, or the target of a method that is not in the registry."""
        from metaicl.methods import METHODS

        return next((name for name, spec in METHODS.items() if spec is self), self.target)

    def defaults(self) -> dict[str, Any]:
        """The class's arguments that have a default, and the registry's options over them."""
        found = {p.name: p.default for p in parameters(load_named(self.target)) if p.default is not p.empty}
        return {**found, **self.options}

    def resolved_options(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The value of every option of the class: the one given, else the registry's, else the class's own.

        A default of a user's class that JSON cannot hold is left out: the class alone knows it.
        """
        return {n: v for n, v in self.defaults().items() if _is_plain(v)} | dict(given)

    def check_idle(self, given: Mapping[str, Any]) -> None:
        """Raise where an option was given that another option's value keeps from being read (`Method.read_unless`).

        Raises:
            UserError: names the option.
        """
        defaults = self.defaults()
        values = {**defaults, **given}
        for name, (switch, off) in getattr(load_named(self.target), "read_unless", {}).items():
            if values.get(switch) == off and values.get(name) != defaults.get(name):
                refuse_values({name: values[name]}, f"another {switch} than {off!r}", f"option {self.name}.")

    def backbone_config(self, config: BackboneConfig, shared: bool = False) -> BackboneConfig:
        """`config` with a value for every option: the one given, else the method's, else the general one.

        Args:
            shared: whether `config` serves several methods. Its `weights` then speaks of those that learn any.

        Raises:
            UserError: the weights that `config` lets learn are not those that the method needs.
        """
        if shared and self.weights == "frozen":
            config = replace(config, weights=None)
        if config.weights and self.weights and (config.weights == "frozen") != (self.weights == "frozen"):
            learns, way = (
                ("none", "use a method that learns them")
                if self.weights == "frozen"
                else ("some", "set it to lora or full")
            )
            raise UserError(
                f"backbone.weights is {config.weights}, but {self.name} learns {learns} of the model's weights",
                fix=f"Leave backbone.weights out, or {way}.",
            )
        own = {"weights": self.weights, **self.adapters}
        return replace(config, **{n: v for n, v in own.items() if getattr(config, n) is None}).resolved()

    def prompt_format(self, form: PromptFormat) -> PromptFormat:
        """`form` with the fields that the method needs; a field that is unset is false.

        Raises:
            UserError: a field that the method needs was given another value.
        """
        for name, needed in self.format.items():
            if (given := getattr(form, name)) is not None and given != needed:
                raise UserError(
                    f"format.{name} is {str(given).lower()}, but {self.name} needs {str(needed).lower()}",
                    fix=f"Leave format.{name} out, or use another method.",
                )
        return replace(form, **self.format).resolved()

    def build(self, backbone: Backbone, form: PromptFormat, **options: Any) -> Method:
        """The method; `options` go over the registry's.

        Raises:
            UserError: the class does not exist, is no `Method`, or does not take an option.
        """
        cls = load_named(self.target)
        if not (isinstance(cls, type) and issubclass(cls, Method)):
            raise UserError(f"{self.target} is not a metaicl.methods.base.Method")
        options = {**self.options, **options}
        check_options(self.name, cls, options)
        return cls(backbone, self.prompt_format(form).subclassed(), **options)


def _is_plain(value: Any) -> bool:
    """Whether JSON gives the value back as it is."""
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, (bool, int, float, str))
