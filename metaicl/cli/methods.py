"""`metaicl methods`: what ways of learning from a few examples there are, and the options of each."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from metaicl.cli.actions import check_action
from task_suites.core.errors import UserError


@dataclass(frozen=True)
class Methods:
    """Ways of learning from a few examples: list them, show NAME with its options and its paper.

    Attributes:
        action: list or show.
        name: of the method, or package.module:Name.
    """

    action: str
    name: str = ""

    def __post_init__(self) -> None:
        check_action(self.action, ("list", "show"))
        if bool(self.name) != (self.action == "show"):
            found = "a name" if self.name else "no name"
            fix = "Write: metaicl methods list, or: metaicl methods show NAME."
            raise UserError(f"metaicl methods {self.action}", found=found, fix=fix)


def run_methods(config: Methods) -> None:
    """Print what was asked for."""
    lines = listed() if config.action == "list" else shown(config.name)
    print("\n".join(lines))


def listed() -> Iterator[str]:
    """One line for each method of the registry: its name, whether it is meta-trained, what it does."""
    from metaicl.methods import METHODS

    width = max(map(len, METHODS))
    for name, spec in METHODS.items():
        trained = "meta-trained" if spec.trained else "as it is"
        yield f"{name:{width}}  {trained:12}  {spec.label}: {spec.note}"


def shown(name: str) -> Iterator[str]:
    """A method in full: what it is, what it serves, its options with types and defaults, its paper.

    Raises:
        UserError: there is no such method.
    """
    from docstring_parser import parse

    from metaicl.methods import method_spec
    from metaicl.methods.options import parameters
    from task_suites.sources import load_named

    spec = method_spec(name)
    cls = load_named(spec.target)
    yield f"{name} ({spec.label})"
    yield f"  {spec.note or cls.__doc__.splitlines()[0]}"
    yield f"  needs:    {'meta-training' if spec.trained else 'no meta-training'}"
    yield f"  learns:   {LEARNED[spec.weights]}"
    yield f"  serves:   tasks with {', '.join(sorted(cls.serves))}"
    yield f"  class:    {spec.target}"
    documented = {
        param.arg_name: " ".join((param.description or "").split())
        for parent in reversed(cls.__mro__)
        for param in parse(vars(parent).get("__doc__") or "").params
    }
    defaults = spec.defaults()
    for number, parameter in enumerate(parameters(cls)):
        if not number:
            yield "\nOptions (for `metaicl train` as --method_options '{\"OPTION\": VALUE}'):"
        kind = parameter.annotation
        kind = kind if isinstance(kind, str) else inspect.formatannotation(kind)
        default = f" = {defaults[parameter.name]!r}" if parameter.name in defaults else ""
        yield f"  {parameter.name}: {kind}{default}"
        if text := documented.get(parameter.name):
            yield f"      {text}"
    if about := inspect.getdoc(sys.modules[cls.__module__]):
        yield f"\n{about}"


LEARNED = {
    "frozen": "nothing of the model's own weights",
    "lora": "adapters (LoRA)",
    "full": "all weights of the model",
    None: "adapters (LoRA) or all weights of the model: backbone.weights",
}
