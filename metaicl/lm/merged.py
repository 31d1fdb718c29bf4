"""A trained method's model as a base model: its adapters merged into the model that they were trained on.

So any method runs on top of a meta-trained model: `--model runs/NAME/best`. Merged weights are rounded once to the type
in which they are kept; in float32 that differs by rounding only. This module does not import torch at the top, because
`metaicl models list` reads it.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

from metaicl.lm.adapter_library import adapters_for, import_peft
from metaicl.lm.config import BackboneConfig
from task_suites.core.errors import UserError, reason_of

CARD, OWN, ADAPTERS = "method.json", "method.safetensors", "adapter_model.safetensors"
PUT_BACK = "Put the file back as it was saved, or train again."


def holds_adapters(source: str | Path) -> bool:
    """Return whether a folder is that of a trained method that learned adapters."""
    return (Path(source) / CARD).is_file() and (Path(source) / ADAPTERS).is_file()


def base_place(folder: Path, model: str, way: str | None) -> str:
    """Return the name or folder of the base model of the method in `folder`.

    One in a folder is looked for where it was, and then where it was as seen from `folder` (`way`): the method may be
    moved by itself, or both together.

    Raises:
        UserError: it is in neither of them.
    """
    if not Path(model).is_absolute():
        return model
    places = [model, *([os.path.normpath(os.path.abspath(folder / way))] if way else [])]
    for place in places:
        if Path(place).is_dir():
            return place
    card = folder / CARD
    raise UserError(
        f"the base model of the method in {folder} is not there",
        found=" and ".join(f"no folder {place}" for place in dict.fromkeys(places)),
        fix=f'Put it back, or write the full path of its folder as "model" under "backbone" in {card}.',
    )


def base_of(folder: str | Path) -> str:
    """Return the name or folder of the model that the adapters in a trained method's folder were trained on.

    Raises:
        UserError: its card cannot be read, or the model is gone.
    """
    path = Path(folder) / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        model, way = card["backbone"]["model"], card.get("base_from_here")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"not a saved method: {reason_of(error)}", where=path, fix=PUT_BACK) from None
    return base_place(Path(folder), model, way)


def base_on_hub(folder: str | Path) -> dict[str, Any]:
    """Return the arguments of `from_pretrained` for the hub model that the adapters in a folder were trained on.

    Raises:
        UserError: they were trained on weights in fewer bits, so a merge would give another model than the method has.
    """
    card = json.loads((Path(folder) / CARD).read_text(encoding="utf-8"))["backbone"]
    if card.get("quantization", "none") != "none":
        raise UserError(
            f"the adapters in {folder} were trained on weights in {card['quantization']}, which a merge cannot keep",
            fix="Name the folder in --methods, so that it runs on such weights.",
        )
    return BackboneConfig(**card).on_hub()


def merge(model: Any, folder: str | Path) -> Any:
    """Return the base model with the adapters of a trained method's folder merged into it.

    Raises:
        UserError: the adapters are damaged or another model's, or a merge would give another model than the method has.
    """
    import_peft()
    from peft import PeftModel

    from metaicl.lm.tied import adapted_tied_layers
    from metaicl.lm.weights import load_adapters

    if (Path(folder) / OWN).is_file():
        raise UserError(
            f"the method in {folder} learned more than adapters, so its model is more than a merge gives",
            found=OWN,
            fix="Name the folder in --methods, or give a model whose training learned adapters only.",
        )
    try:
        with (
            adapters_for(model),
            warnings.catch_warnings(),
        ):  # missing weights are refused below; the other is a name that transformers gives up
            warnings.filterwarnings("ignore", "Found missing adapter keys", UserWarning)
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            adapted = PeftModel.from_pretrained(model, str(folder))
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"the adapters do not fit their base model: {str(error).splitlines()[0]}",
            where=folder,
            fix="Put back the base model that its method.json names, or train again.",
        ) from None
    load_adapters(adapted, Path(folder) / ADAPTERS)  # peft takes a file that lacks some of them
    if names := adapted_tied_layers(adapted):
        raise UserError(
            f"the adapters in {folder} are on weights that the model uses twice, so a plain merge is wrong",
            found=" and ".join(names),
            fix=f"Merge them as {Path(folder) / 'README.md'} says, and give the merged folder as --model.",
        )
    return adapted.merge_and_unload()
