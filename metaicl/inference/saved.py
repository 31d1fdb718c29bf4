"""A few-shot estimator as a folder: `few_shot.json` with its parameters and demonstrations. Nothing is pickled."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metaicl.inference.opening import MethodSource, plain_number
from metaicl.lm.released import RELEASED
from task_suites.core.atomic import check_free, new_folder
from task_suites.core.errors import UserError, reason_of
from task_suites.core.json_files import read_json

FILE = "few_shot.json"
FORMAT = 1
INSIDE = "model"  # the folder of the model inside of an estimator's own, where it was pushed to the hub
KINDS = "biufUO"  # NumPy's kinds of label: whole numbers and floats, strings


@dataclass(frozen=True)
class Saved:
    """What a folder holds.

    Attributes:
        parameters: the estimator's.
        demonstrations: (inputs, answers), as `fit` takes them.
        fingerprint: of the model's folder; empty for a model that has a name.
        classes: of a classifier that knows more of them than its demonstrations show; else None.
    """

    parameters: dict[str, Any]
    demonstrations: tuple[Any, Any]
    fingerprint: str
    classes: list[Any] | None = None


def lies_in_a_folder(source: MethodSource) -> bool:
    """Return whether a model has no name by which it would be found elsewhere."""
    return bool(source.fingerprint) and source.model not in RELEASED


def write_saved(
    folder: Path,
    kind: str,
    parameters: Mapping[str, Any],
    demonstrations: tuple[Any, Any],
    source: MethodSource,
    classes: list[Any] | None,
    inside: bool = False,
) -> None:
    """Write an estimator into a new folder.

    Args:
        classes: as in `Saved`.
        inside: whether a model without a name is to be looked for in this folder.

    Raises:
        UserError: the folder is not empty, or a parameter is not a plain value.
    """
    inputs, answers = demonstrations
    given = {n: os.fspath(v) if isinstance(v, os.PathLike) else v for n, v in parameters.items()}
    inside = inside and lies_in_a_folder(source)
    if source.fingerprint:
        given["model"] = INSIDE if inside else source.model  # its absolute path
    content = {
        "format": FORMAT,
        "estimator": kind,
        "parameters": given,
        "fingerprint": source.fingerprint,
        "inside": inside,
        "dtype": answers.dtype.str if isinstance(answers, np.ndarray) else None,
        "inputs": inputs,
        "answers": answers.tolist() if isinstance(answers, np.ndarray) else answers,
        "classes": classes,
    }
    try:
        text = json.dumps(content, ensure_ascii=False, indent=1, default=plain_number)
    except TypeError as error:
        fix = "Give random_state a number, and method_options plain values."
        raise UserError(f"a parameter cannot be saved ({error})", where=folder, fix=fix) from None
    check_free(folder)
    with new_folder(folder) as scratch:
        (scratch / FILE).write_text(text + "\n", encoding="utf-8")


def read_saved(folder: Path, kind: str, known: Collection[str]) -> Saved:
    """Return what `write_saved` wrote.

    Args:
        known: the names of the estimator's parameters.

    Raises:
        UserError: there is nothing of this kind.
    """
    path = folder / FILE
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(
            "not a saved estimator of this version", where=path, expected=f'"format": {FORMAT}', fix="Save it again."
        )
    if content.get("estimator") != kind:
        made = content.get("estimator")
        raise UserError("another estimator was saved here", where=path, found=made, fix="Load it with that class.")
    try:
        answers, dtype = content["answers"], content["dtype"]
        if dtype is not None:
            if np.dtype(dtype).kind not in KINDS:
                raise ValueError(f"labels of the type {dtype}")
            given, answers = answers, np.array(answers, dtype=dtype)
            if (
                answers.ndim != 1 or answers.tolist() != given
            ):  # NumPy cuts a text off, and makes a number of another kind
                raise ValueError(f"answers that are not of the type {dtype}")
        parameters = dict(content["parameters"])
        if unknown := sorted(parameters.keys() - known):
            raise ValueError(f"unknown parameters {unknown}")
        if content.get("inside") is True:
            parameters["model"] = str(folder / INSIDE)
        classes = content.get("classes")
        return Saved(parameters, (content["inputs"], answers), str(content["fingerprint"]), classes)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"not a saved estimator: {reason_of(error)}", where=path, fix="Save it again.") from None
