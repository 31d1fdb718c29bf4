"""`metaicl models`: base models that need no hub."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from metaicl.cli.actions import check_action
from metaicl.cli.parser import Command
from task_suites.core.columns import columns


@dataclass(frozen=True)
class Models:
    """List and download base models that need no hub: list, pull NAME, show NAME.

    Attributes:
        action: list: all models. pull: download one. show: where it comes from and where it lies.
        name: the model's name.
    """

    action: str
    name: str = "smollm2-135m"


def run(config: Models) -> None:
    """Print the list, or fetch a model."""
    from metaicl.lm import models
    from metaicl.lm.pulling import pull
    from metaicl.lm.released import RELEASED

    check_action(config.action, ("list", "pull", "show"))
    if config.action == "list":
        states = {name: "pulled" if models.local_folder(name) else "not pulled" for name in models.MODELS}
        rows = [(of.name, states[of.name], of.licence, of.description) for of in models.MODELS.values()]
        rows += [(of.name, "shipped", of.licence, of.description) for of in RELEASED.values()]
        print("\n".join(columns(("model", "state", "licence", "description"), rows)))
    elif config.action == "pull":
        print(pull(config.name, say=lambda message: print(message, file=sys.stderr)))
    else:
        print(models.describe(config.name))


COMMAND = Command(Models, run, "metaicl models list\nmetaicl models pull smollm2-135m", ("action", "name"))
