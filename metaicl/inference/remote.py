"""Methods in context whose model runs on a server of completions, such as vLLM's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from metaicl.inference.opening import check_untrained, instructable, plain_config
from metaicl.lm.backbone import Backbone
from metaicl.lm.completion_server import CompletionServer
from metaicl.lm.merged import OWN, base_on_hub, holds_adapters
from metaicl.lm.served import ServedModel
from metaicl.methods import method_class
from metaicl.methods.base import EMPTY, Method
from metaicl.methods.in_context.icl import InContext
from metaicl.training.checkpoint import read_card, trained_folder
from task_suites.core.errors import UserError

HERE = "Leave --engine out."
READING = ("adapt", "predictor", "scorer")  # what a method that only reads prompts inherits


def open_remote_method(
    model: str,
    server: CompletionServer,
    method: str | None = None,
    instructed: bool = False,
    options: Mapping[str, Any] = EMPTY,
) -> Method:
    """Return a method in context whose model a server serves. The arguments are those of `open_method`.

    Raises:
        UserError: the method does more than read prompts, or learned more than the weights of its model; the server's
            model has other tokens; or as `open_method`.
    """
    folder = trained_folder(model)
    if folder:
        check_untrained(folder, method)
        config = read_card(folder)[0]
        config = replace(config, options={**config.options, **options}).resolved()
        if (folder / OWN).is_file():
            raise UserError(f"the method in {folder} learned more than its model's weights", found=OWN, fix=HERE)
        if holds_adapters(folder):
            base_on_hub(folder)  # refuses adapters that no merge keeps as they are
    else:
        config = plain_config(model, method, instructed, options)
    cls = method_class(config.name)
    if not issubclass(cls, InContext) or any(getattr(cls, n) is not getattr(InContext, n) for n in READING):
        fix = f"{HERE} A server serves methods that read prompts, such as icl and metaicl."
        raise UserError(f"{config.name} needs the model in this process", fix=fix)
    backbone = cast(Backbone, ServedModel(config.backbone, server))
    built = cls.build(backbone, config.format, config.options)
    return instructable(built, f"the method in {folder}" if folder else f"method {config.name}", instructed)
