"""What every way of inference begins with: a method from its name or folder, and a task around demonstrations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metaicl.checkpoint import CARD, MethodConfig, load_method
from metaicl.config import BackboneConfig
from metaicl.methods import method_spec
from metaicl.methods.base import Method
from task_suites.errors import UserError
from task_suites.formats import PromptFormat
from task_suites.task import DEFAULT_METRICS, Example, Task, default_type


def open_method(model: str, method: str | None = None) -> Method:
    """A trained method from its folder (a run's folder or its best/), or a method by name on a plain backbone.

    Raises:
        UserError: no such model or method, a method that needs meta-training, or a checkpoint of another method.
    """
    for folder in (Path(model), Path(model) / "best"):
        if (folder / CARD).is_file():
            if method is not None:
                raise UserError(
                    f"{folder} holds a trained method", found=f"method {method} asked for", fix="Leave it out."
                )
            return load_method(folder)
    name = method or "icl"
    spec = method_spec(name)
    if spec.trained:
        raise UserError(
            f"method {name} is meta-trained before use", fix="Give the folder of a trained run as the model."
        )
    return MethodConfig(name, {}, BackboneConfig(name=model), PromptFormat()).build()


def user_task(support: Sequence[Example], labels: tuple[str, ...], instruction: str = "") -> Task:
    """A task around a support set at hand."""
    form = support[0].form
    return Task("user", default_type(form, True), lambda split: support, instruction, labels, DEFAULT_METRICS[form])
