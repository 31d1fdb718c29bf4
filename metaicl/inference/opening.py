"""What every way of inference begins with: a method from its name or folder, and a task around demonstrations."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from metaicl.lm import tiny
from metaicl.lm.config import BackboneConfig
from metaicl.lm.kinds import AnyBackbone
from metaicl.lm.models import MODELS, kind_of
from metaicl.lm.pulling import pull
from metaicl.lm.released import METAICL, RELEASED, method_folder
from metaicl.methods import method_class
from metaicl.methods.base import EMPTY, Method
from metaicl.training.checkpoint import MethodConfig, load_method, trained_folder
from task_suites.core.errors import UserError, UserTypeError, refuse_half_characters
from task_suites.example import Example, Form
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import DEFAULT_METRICS, Task, default_type

ON_ENCODER = "prototypes_names"  # the method on a sentence encoder where none is named
SAMPLE = 1 << 20  # bytes read at the start, in the middle and at the end of a file of weights


def open_method(
    model: str, method: str | None = None, instructed: bool = False, options: Mapping[str, Any] = EMPTY
) -> Method:
    """Return a trained method from its folder (a run's folder or its best/) or by its released name, whose base model
    is pulled where it is not there; or a method by name on a plain backbone.

    Methods by name on the same model share its weights in memory.

    Args:
        instructed: whether an instruction is given, which then heads the prompts.
        options: of the method; for a trained one those that differ from its own, such as `shown`.

    Raises:
        UserError: no such model or method, a method that needs meta-training, or a checkpoint of another method.
    """
    if folder := trained_folder(model):
        check_untrained(folder, method)
        if model in RELEASED:
            pull(model, say=lambda line: print(line, file=sys.stderr))
        return instructable(load_method(folder, options=options), f"the method in {folder}", instructed)
    config = plain_config(model, method, instructed, options)
    backbone = _backbones.get(config.backbone)
    built = config.build(backbone)
    _backbones[config.backbone] = built.backbone
    return instructable(built, f"method {config.name}", instructed)


def check_untrained(folder: Path, method: str | None) -> None:
    """Raise where a method is named beside the folder of a trained one.

    Raises:
        UserError: it is.
    """
    if method is not None:
        raise UserError(f"{folder} holds a trained method", found=f"method {method} requested", fix="Leave it out.")


def default_model(form: Form, method: str | None = None, instructed: bool = False) -> str:
    """Return the model where none is named: the released adapter for examples with options, and its base model for
    other forms, where a method is named or where an instruction is given, all of which the adapter does not take."""
    adapted = form == "options" and method is None and not instructed
    return METAICL if adapted else RELEASED[METAICL].base


def plain_config(
    model: str, method: str | None, instructed: bool = False, options: Mapping[str, Any] = EMPTY
) -> MethodConfig:
    """Return what builds a method that needs no meta-training on a plain backbone.

    Raises:
        UserError: no such method, or one that needs meta-training.
    """
    name = (ON_ENCODER if kind_of(model) == "encoder" else "icl") if method is None else method
    cls = method_class(name)
    if cls.meta_trained:
        raise UserError(
            f"method {name} is meta-trained before use", fix="Give the folder of a trained run as the model."
        )
    form = PromptFormat(instruction=True) if instructed else PromptFormat()
    return MethodConfig(name, dict(options), BackboneConfig(model=model), form).resolved()


def instructable(method: Method, name: str, instructed: bool) -> Method:
    """Return the method, refused where an instruction is given that it does not read."""
    if instructed and not (method.reads_prompts and method.form.instruction):
        why = "its prompts have none" if method.reads_prompts else "it reads no prompts"
        raise UserError(f"an instruction is given, and {name} does not read it: {why}", fix="Leave it out.")
    return method


@dataclass(frozen=True)
class MethodSource:
    """What opens a method again later, from any working directory.

    Attributes:
        model: a registry, released or hub name, or the absolute path of a folder.
        method: as in `open_method`.
        instructed: as in `open_method`.
        options: as in `open_method`, as JSON.
        fingerprint: of the folder's files, so that a changed folder is noticed; empty for a name.
    """

    model: str
    method: str | None
    fingerprint: str
    instructed: bool = False
    options: str = "{}"

    @classmethod
    def find(
        cls, model: str, method: str | None = None, instructed: bool = False, options: Mapping[str, Any] = EMPTY
    ) -> MethodSource:
        """Return the source of a method now."""
        given = _as_json(options)
        named = model in (*tiny.NAMES, *MODELS)
        folder = None if named else trained_folder(model) or (Path(model) if Path(model).is_dir() else None)
        if folder is None:
            return cls(model, method, "", instructed, given)
        name = model if model in RELEASED else str(folder.resolve())  # a name, so that it may move to another machine
        return cls(name, method, _fingerprint(folder), instructed, given)

    @classmethod
    def chosen(
        cls, model: str | None, form: Form, method: str | None, instruction: str, options: Mapping[str, Any] = EMPTY
    ) -> MethodSource:
        """Return the source of what answers demonstrations of a form; `default_model`'s where no model is named."""
        instructed = bool(instruction)
        model = default_model(form, method, instructed) if model is None else model
        return cls.find(model, method, instructed, options)

    def open(self) -> Method:
        """Return the method, which all who open the same source in this process share while somebody holds it; the last
        one opened is held here.

        Raises:
            UserError: `open_method`'s, or the folder is gone or no longer what it was.
        """
        with LOCK:
            options = json.loads(self.options)
            if self.fingerprint and self != MethodSource.find(self.model, self.method, self.instructed, options):
                raise UserError(
                    "the model changed after fit",
                    where=self.model,
                    found="other files" if method_folder(self.model).is_dir() else "no such folder",
                    expected="the files that the classifier was fitted with",
                    fix="Put them back, or fit the classifier again.",
                )
            method = _open.get(self)
            if method is None:
                kept = self._backbone()
                _last.clear()  # before the next one is loaded, so that two need not fit into memory
                method = _open[self] = open_method(self.model, self.method, self.instructed, options)
                del kept
            _last[:] = [method]
            return method

    def _backbone(self) -> AnyBackbone | None:
        """Return the backbone that is open and serves this method too."""
        if trained_folder(self.model):
            return None
        config = plain_config(self.model, self.method, self.instructed, json.loads(self.options))
        return _backbones.get(config.backbone)


LOCK = threading.RLock()  # one at a time: a method's layers carry state while they run
_open: WeakValueDictionary[MethodSource, Method] = WeakValueDictionary()
_backbones: WeakValueDictionary[BackboneConfig, AnyBackbone] = WeakValueDictionary()
_last: list[Method] = []


def close_methods() -> None:
    """Let go of the method that `MethodSource.open` holds, and share none of those still in use."""
    with LOCK:
        _last.clear()
        _open.clear()
        _backbones.clear()


def user_task(support: Sequence[Example], labels: tuple[str, ...], instruction: str = "") -> Task:
    """Return a task around a support set at hand."""
    refuse_half_characters(instruction, "the instruction")
    form, name = support[0].form, "of the demonstrations"  # errors say "task of the demonstrations: ..."
    return Task(name, default_type(form, True), lambda split: support, instruction, labels, DEFAULT_METRICS[form])


def plain_number(value: Any) -> Any:
    """Return a number of NumPy as Python's own, which JSON can hold (`default` of `json.dumps`).

    Raises:
        TypeError: it is something else.
    """
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{value!r:.60} is a {type(value).__name__}")


def _as_json(options: Mapping[str, Any]) -> str:
    """Return the options of a method as JSON, those of NumPy's types as Python's.

    Raises:
        UserTypeError: one is not a plain value.
    """
    try:
        return json.dumps(dict(options), sort_keys=True, default=plain_number)
    except TypeError as error:
        expected = "texts, numbers, booleans, lists and mappings"
        raise UserTypeError(f"method_options holds what is not a plain value: {error}", expected=expected) from None


def _fingerprint(folder: Path) -> str:
    """Return a hash of the names and sizes of a folder's configuration and weights, and of a sample of their content
    that every training changes."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".json", ".safetensors", ".bin") and p.is_file()):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as data:
            for start in sorted({0, max(0, (size - SAMPLE) // 2), max(0, size - SAMPLE)}):
                data.seek(start)
                digest.update(data.read(SAMPLE))
    return digest.hexdigest()
