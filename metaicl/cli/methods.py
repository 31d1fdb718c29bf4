"""`metaicl methods`: what ways of learning from a few examples there are, and the options of each."""

from __future__ import annotations

import inspect
import json
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from metaicl.cli.actions import check_action
from metaicl.cli.parser import Command
from task_suites.core.columns import columns
from task_suites.core.errors import UserError

WIDTH = 110  # of a help text, in letters


@dataclass(frozen=True)
class Methods:
    """Show the methods, and check one of your own: list, show NAME, check NAME.

    Attributes:
        action: list: all methods. show: options and paper of one. check: test a method of your own on a small random
            model.
        name: the name of a method, or package.module:Name.
    """

    action: str
    name: str = ""

    def __post_init__(self) -> None:
        check_action(self.action, ("list", "show", "check"))
        if bool(self.name) != (self.action != "list"):
            what = f"takes no name, but got {self.name}" if self.name else "needs the name of a method"
            fix = "Write: metaicl methods list, metaicl methods show NAME, or metaicl methods check NAME."
            raise UserError(f"metaicl methods {self.action} {what}", fix=fix)


def run(config: Methods) -> None:
    """Print what was requested."""
    if config.action == "check":
        print(checked(config.name))
    else:
        print("\n".join(listed() if config.action == "list" else shown(config.name)))


def listed() -> list[str]:
    """Return a row of names, and one line for each method of the registry: whether it is meta-trained, what it does."""
    from metaicl.methods import METHODS, method_class

    classes = {name: method_class(name) for name in METHODS}
    rows = [
        (name, "meta-trained" if of.meta_trained else "as it is", f"{of.label}: {of.note}")
        for name, of in classes.items()
    ]
    return columns(("method", "used", "what it does"), rows)


def shown(name: str) -> Iterator[str]:
    """Yield a method in full: what it is, what it serves, its options with types and defaults, its paper.

    Raises:
        UserError: there is no such method.
    """
    from metaicl.methods import method_class
    from metaicl.methods.options import described, option_types
    from task_suites.core.docstrings import documented
    from task_suites.core.idle import defaults_of

    method = method_class(name)
    yield f"{name} ({method.label})"
    yield f"  {method.note or (method.__doc__ or '').partition(chr(10))[0]}"
    yield f"  needs:    {'meta-training' if method.meta_trained else 'no meta-training'}"
    yield f"  learns:   {LEARNED[method.weights]}"
    yield f"  serves:   tasks with {', '.join(sorted(method.serves))}"
    if method.paper:
        yield f"  paper:    {method.paper}"
    yield f"  class:    {method.__module__}:{method.__qualname__}"
    options = option_types(method.Config)
    if options:
        given = "OPTION=VALUE" if method.meta_trained else f"{name}.OPTION=VALUE"
        yield f"\nOptions (`metaicl {'train' if method.meta_trained else 'evaluate'} --method_options {given}`):"
    defaults, about_option = defaults_of(method.Config), documented(method.Config)
    for option, kind in options.items():
        default = f" = {json.dumps(defaults[option], default=repr)}" if option in defaults else ""
        yield f"  {option}: {described(kind)}{default}"
        if text := about_option.get(option):
            yield textwrap.fill(text, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6, break_on_hyphens=False)
    if about := inspect.getdoc(sys.modules[method.__module__]):
        yield f"\n{about}"


def checked(name: str) -> str:
    """Return what was found right in a method.

    Raises:
        UserError: there is no such method, or it breaks a promise.
    """
    from metaicl.methods import method_class
    from metaicl.testing import check_method

    try:
        forms = check_method(name)
    except AssertionError as error:
        fix = "metaicl/methods/base.py describes the rules."
        raise UserError(f"{name} breaks a rule of methods: {error}", fix=fix) from error
    trained = "; loss, gradients and saved weights are right" if method_class(name).meta_trained else ""
    return f"{name} keeps the rules of methods: it serves {', '.join(forms)}; answers repeat and see no truth{trained}"


LEARNED = {
    "frozen": "nothing of the model's own weights",
    "lora": "adapters (LoRA)",
    "full": "all weights of the model",
    None: "whatever --weights says of the model's weights: adapters (LoRA), all, or none",
}

COMMAND = Command(
    Methods,
    run,
    "metaicl methods list\nmetaicl methods show fomaml\nmetaicl methods check my_module:MyMethod",
    ("action", "name"),
)
