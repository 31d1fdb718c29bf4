"""A training's configuration with the value that every option takes. What is unset is left to the method."""

from __future__ import annotations

from dataclasses import replace

from metaicl.methods import method_class
from metaicl.training.config import TrainRun


def resolved(run: TrainRun) -> TrainRun:
    """Return the run with the value that every option takes: the user's, else the method's, else the general default.

    Raises:
        UserError: an unknown method, or a value that contradicts what the method needs.
    """
    method = method_class(run.method)
    return replace(
        run,
        method_options=method.configured(run.method_options).to_dict(),
        backbone=method.backbone_config(run.backbone),
        format=method.prompt_format(run.format),
        trainer=run.trainer.resolved(),
    )
