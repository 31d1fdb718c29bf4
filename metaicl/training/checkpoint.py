"""A trained method on disk: `method.json`, the backbone's learned weights as a plain peft or transformers folder, and
the method's own weights beside them. Written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import Tensor

from metaicl.lm import merged
from metaicl.lm.config import MAIN, BackboneConfig
from metaicl.lm.devices import at_hand
from metaicl.lm.kinds import AnyBackbone, load_backbone
from metaicl.lm.loading import open_model
from metaicl.lm.models import lasting_name
from metaicl.lm.released import RELEASED, method_folder
from metaicl.lm.tied import warn_of_merging
from metaicl.lm.weights import AGAIN, load_adapters, load_own
from metaicl.methods import method_class
from metaicl.methods.base import Method
from metaicl.training.engines.pieces import put_state
from metaicl.training.folders import interrupted, whole_folder
from metaicl.training.identity import Training, model_identity
from metaicl.training.seals import check_files, hashes
from task_suites.core.errors import UserError, reason_of
from task_suites.formats.prompt_format import PromptFormat

CARD, OWN, ADAPTERS = merged.CARD, merged.OWN, merged.ADAPTERS
FREE = (CARD, "README.md")  # what people may edit: the hashes lie in the one, the other is a text for people


@dataclass(frozen=True)
class MethodConfig:
    """What builds a method.

    Attributes:
        name: a registry name or `package.module:Name`.
        options: those of the method (its class's `Config`).
        backbone: the language model.
        format: the prompt format.
    """

    name: str
    options: Mapping[str, Any]
    backbone: BackboneConfig
    format: PromptFormat

    def resolved(self) -> MethodConfig:
        """Return the configuration with the value that every option takes (`metaicl.methods.resolved`)."""
        method = method_class(self.name)
        backbone, form = method.backbone_config(self.backbone), method.prompt_format(self.format)
        return MethodConfig(self.name, method.configured(self.options).to_dict(), backbone, form)

    def build(self, backbone: AnyBackbone | None = None, seed: int = 0) -> Method:
        """Return the method, on a backbone at hand or a freshly loaded one (whose adapters `seed` initialises).

        Raises:
            UserError: there is no such model, or the method does not run on its kind.
        """
        config, cls = self.resolved(), method_class(self.name)
        if backbone is None:
            cls.check_kind(config.backbone.model)
            backbone = load_backbone(config.backbone, seed)
        return cls.build(backbone, config.format, config.options).to(backbone.device)


@dataclass(frozen=True)
class BaseShape:
    """What a base model must have for a method's weights to fit onto it; None is what its configuration leaves out."""

    model_type: str | None
    hidden_size: int | None
    num_hidden_layers: int | None
    vocab_size: int | None

    @classmethod
    def of(cls, backbone: AnyBackbone) -> BaseShape:
        """Return that of a backbone's model."""
        return cls(**{field.name: getattr(backbone.model_config, field.name, None) for field in fields(cls)})


def save_method(
    method: Method,
    config: MethodConfig,
    folder: Path,
    training: Training | None = None,
    whole: Mapping[str, Tensor] | None = None,
) -> None:
    """Save a method's learned weights with what is needed to build it again.

    Args:
        training: what is known of the training (`RunRecord.training`); None where nothing is.
        whole: the model's weights, where this process holds only a share of them.
    """
    from safetensors.torch import save_file

    config = config.resolved()  # a later version may have other defaults
    backbone = method.backbone.config
    name = lasting_name(backbone.model)
    card = {
        "name": config.name,
        "options": config.options,
        "format": asdict(config.format),
        "backbone": asdict(replace(backbone, model=name)),
        "base": asdict(BaseShape.of(method.backbone)),
        "base_from_here": _relative(name, folder),
        "training": asdict(training) if training else None,
    }
    with whole_folder(folder) as scratch:
        save_backbone(method.backbone, scratch, whole)
        warn_of_merging(method.backbone.model, scratch, folder)
        if own := method.own_state():
            save_file({name: value.contiguous() for name, value in own.items()}, scratch / OWN)
        card["files"] = hashes(scratch, FREE)
        (scratch / CARD).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")


def save_backbone(backbone: AnyBackbone, folder: Path, whole: Mapping[str, Tensor] | None = None) -> None:
    """Save a backbone's learned weights: a peft folder (LoRA), a whole transformers folder (full), nothing (frozen)."""
    model: Any = backbone.model
    if backbone.config.weights == "lora":  # only the adapters: the base's embeddings stay where they came from
        model.save_pretrained(folder, save_embedding_layers=False)
    if backbone.config.weights == "full":
        model.save_pretrained(folder, state_dict=whole)
        backbone.tokenizer.save_pretrained(folder)


def holds_method(folder: Path) -> bool:
    """Return whether a trained method lies in `folder`, or would if a save had not been killed (`read_card` says so
    then)."""
    return (folder / CARD).is_file() or interrupted(folder)


def trained_folder(model: str | Path) -> Path | None:
    """Return the folder of the trained method that `model` names: a released one by its name, or itself, or as a run's
    folder; None where it names none."""
    if str(model) in RELEASED:
        return method_folder(model)
    return next((folder for folder in (Path(model), Path(model) / "best") if holds_method(folder)), None)


def read_card(folder: Path) -> tuple[MethodConfig, BaseShape]:
    """Return (config, shape of the base model) of a saved method, which may have been trained on another machine.

    Raises:
        UserError: no saved method, one that cannot be read, or a base model that is no longer in its folder.
    """
    path = folder / CARD
    if not path.is_file():
        killed = "A training was killed while it saved; the same command puts the folder back."
        raise UserError(
            f"no trained method in {folder}",
            expected=f"a folder with {CARD}, such as runs/NAME/best",
            fix=killed if interrupted(folder) else None,
        )
    try:
        card = _read_json(path)
        backbone, form = at_hand(BackboneConfig(**card["backbone"])), PromptFormat(**card["format"])
        if backbone.weights == "full":
            base, backbone = str(folder), replace(backbone, revision=MAIN)  # the folder itself is the model
        else:
            base = merged.base_place(folder, backbone.model, card.get("base_from_here"))
        backbone = replace(backbone, model=base)
        return MethodConfig(card["name"], card["options"], backbone, form), BaseShape(**card["base"])
    except (KeyError, TypeError) as error:
        raise _not_saved(path, error) from None


def _relative(name: str, folder: Path) -> str | None:
    """Return the way from `folder` to a base model's folder; None for a model that has a name, or lies on another
    drive."""
    if not Path(name).is_absolute():
        return None
    try:
        return os.path.relpath(name, os.path.abspath(folder))
    except ValueError:  # another drive of Windows
        return None


def read_training(folder: Path) -> Training | None:
    """Return what the method in `folder` was trained on; None where that is not known.

    Raises:
        UserError: the folder's record of it cannot be read.
    """
    path = folder / CARD
    try:
        known = _read_json(path).get("training")
        return Training(**known) if known else None
    except (TypeError, AttributeError) as error:
        raise _not_saved(path, error) from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _not_saved(path, error) from None


def _not_saved(path: Path, error: Exception) -> UserError:
    return UserError(f"not a saved method: {reason_of(error)}", where=path, fix=merged.PUT_BACK)


def load_method(
    folder: Path, backbone: AnyBackbone | None = None, options: Mapping[str, Any] = MappingProxyType({})
) -> Method:
    """Return the method saved in `folder`, on its own base model, or on a backbone at hand.

    Args:
        options: those that differ from the saved method's own.

    Raises:
        UserError: a missing or half-written checkpoint, a file of it that changed, or one of another base model.
    """
    config, base = read_card(folder)
    method = replace(config, options={**config.options, **options}).build(backbone)
    found = BaseShape.of(method.backbone)
    if found != base:
        then, now = asdict(base), asdict(found)
        differing = [name for name in then if then[name] != now[name]]
        raise UserError(
            f"the checkpoint in {folder} was trained on another model than {config.backbone.model}",
            found=", ".join(f"{name} {now[name]}" for name in differing),
            expected=", ".join(f"{name} {then[name]}" for name in differing),
            fix="Give the base model that it was trained on.",
        )
    if config.backbone.weights == "full":
        load_own(method.own_state(), folder / OWN)
    else:
        check_base(folder, config.backbone)
        load_weights(method, folder)
    _check_hashes(folder)  # at the end: what was read before names the tensors that are wrong
    return method


def _check_hashes(folder: Path) -> None:
    files = _read_json(folder / CARD).get("files")
    check_files(
        folder, files if isinstance(files, dict) else {}, f'"files" in {CARD}, as metaicl train writes it', AGAIN
    )


def check_base(folder: Path, backbone: BackboneConfig) -> None:
    """Raise where the training recorded other weights of the base model than those that lie under its name now.

    `backbone` is the method's.

    A folder is identified by its files, a model of the hub by its commit; where one became the other, nothing is known.
    """
    training = read_training(folder)
    if training is None:
        return
    then = training.run
    for kind, now in model_identity(backbone).items():
        if then.get(f"model.{kind}", now) != now:
            raise UserError(
                f"the base model {backbone.model} is not the one that the method in {folder} was trained on",
                found=f"{kind} {now[:12]}",
                expected=then[f"model.{kind}"][:12],
                fix="Put the base model's files back as they were, or train again.",
            )


def load_weights(method: Method, folder: Path) -> None:
    """Put the weights saved in `folder` into a method of the same build.

    Raises:
        UserError: a file is missing or damaged, or holds other weights.
    """
    model, learned = method.backbone.model, method.backbone.config.weights
    if learned == "lora":
        load_adapters(model, folder / ADAPTERS)
    elif (folder / ADAPTERS).exists():
        raise UserError(
            f"the method learns no adapters, but there is a file of them in {folder}", found=ADAPTERS, fix=AGAIN
        )
    if learned == "full":
        saved, _ = open_model(str(folder), next(model.parameters()).dtype)
        put_state(model, saved.state_dict())
    load_own(method.own_state(), folder / OWN)
