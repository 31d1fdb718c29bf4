"""What is known of a model before its weights are loaded: its configuration, and the commit of a hub's model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaicl.lm.config import NOTHING
from metaicl.lm.merged import base_of, base_on_hub, holds_adapters
from metaicl.lm.models import HOW_TO_FETCH, resolve
from task_suites.core.errors import UserError


def foundation(source: str, on_hub: Mapping[str, Any] = NOTHING) -> tuple[str, Mapping[str, Any]]:
    """Return the folder or hub name with a model's configuration and tokenizer, and its arguments of `from_pretrained`.
    For adapters, these are the adapted model's.

    Args:
        source: as `resolve` returns it.
        on_hub: `BackboneConfig.on_hub`.
    """
    while holds_adapters(source):
        source, on_hub = resolve(base_of(source)), base_on_hub(source)
    return source, on_hub


def configuration(source: str, on_hub: Mapping[str, Any] = NOTHING) -> Any:
    """Return the transformers configuration of a model.

    Args:
        source: a folder or a hub name, as `resolve` returns it.
        on_hub: `BackboneConfig.on_hub`.

    Raises:
        UserError: there is no such model.
    """
    from transformers import AutoConfig

    source, on_hub = foundation(source, on_hub)
    try:
        return AutoConfig.from_pretrained(source, **on_hub)
    except (OSError, ValueError) as error:
        raise UserError(f"no model {source!r}: {str(error).splitlines()[0]}", fix=HOW_TO_FETCH) from None


def commit_of(source: str, on_hub: Mapping[str, Any] = NOTHING) -> str:
    """Return the commit of a hub model that this machine uses: the name of its folder in the hub's cache.

    Raises:
        UserError: there is no such model.
    """
    from transformers.utils import cached_file

    try:
        path = cached_file(source, "config.json", **on_hub)
    except OSError as error:
        raise UserError(f"no model {source!r}: {str(error).splitlines()[0]}", fix=HOW_TO_FETCH) from None
    return Path(str(path)).parent.name
