"""Weights from a file, taken whole or not at all.

Every expected tensor is there, every tensor of the file is used, shapes and types are right, and all values are finite.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metaicl.lm.adapter_library import import_peft
from metaicl.lm.known_files import not_finite_once
from task_suites.core.errors import UserError, reason_of

NAMED = 5  # most tensors that an error names
AGAIN = "Copy the folder again from where it was trained, or train again."


def check_weights(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: object, fix: str = AGAIN) -> None:
    """Raise unless the tensors of a file are those that are expected, one for one.

    Args:
        found: the tensors of the file, by name.
        expected: tensors of the right shapes and types, by name; their values do not matter.
        where: the file or folder.
        fix: the way out.

    Raises:
        UserError: names up to five tensors that are missing, unexpected, of a wrong shape or type, or not finite.
    """
    both = sorted(found.keys() & expected.keys())
    shapes = [n for n in both if found[n].shape != expected[n].shape]
    types = [n for n in both if found[n].dtype != expected[n].dtype and n not in shapes]
    refuse_unless_whole(
        where,
        fix,
        missing=sorted(expected.keys() - found.keys()),
        unexpected=sorted(found.keys() - expected.keys()),
        wrong_shape=[f"{n} {list(found[n].shape)}, not {list(expected[n].shape)}" for n in shapes],
        wrong_type=[f"{n} {found[n].dtype}, not {expected[n].dtype}" for n in types],
        not_finite=not_finite(found),
    )


def refuse_unless_whole(where: object, fix: str, **kinds: Iterable[str]) -> None:
    """Raise where there is a fault; `kinds` gives the names of tensors for each kind of fault.

    Raises:
        UserError: counts the tensors of each kind and names up to five in all.
    """
    faults, left = [], NAMED
    for kind, names in kinds.items():
        if names := list(names):
            shown = names[:left] + ["..."] * (len(names) > left)
            left -= min(left, len(names))
            faults.append(f"{len(names)} {kind.replace('_', ' ')} ({', '.join(shown)})")
    if faults:
        raise UserError(
            "the weights are incomplete or damaged",
            where=where,
            found="; ".join(faults),
            expected="each tensor of the model once, in its shape and type, with finite values",
            fix=fix,
        )


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the names of the tensors that hold NaN or an infinity."""
    suspects = [n for n, t in tensors.items() if t.is_floating_point() and not torch.isfinite(t.detach().sum())]
    return [n for n in suspects if not torch.isfinite(tensors[n]).all()]  # a sum can overflow


def check_loaded(model: torch.nn.Module, info: Mapping[str, Any], where: str | Path, fix: str) -> None:
    """Raise unless transformers found every weight of a model in its files, and used all that it found.

    Args:
        where: the folder or file; files that did not change since they were found finite are not read again.
        info: what `from_pretrained` gives for `output_loading_info`, with `ignore_mismatched_sizes`.

    Raises:
        UserError: as `check_weights`.
    """
    refuse_unless_whole(
        where,
        fix,
        missing=sorted(info["missing_keys"]),
        unexpected=sorted(info["unexpected_keys"]),
        wrong_shape=[f"{n} {list(found)}, not {list(wanted)}" for n, found, wanted in sorted(info["mismatched_keys"])],
        unreadable=sorted(map(str, info["error_msgs"])),
        not_finite=parameters_not_finite(model, where),
    )


def parameters_not_finite(model: torch.nn.Module, where: str | Path) -> list[str]:
    """Return `not_finite` of the parameters of a model from files, which are read once for as long as they stay as
    they are."""
    parameters = dict(model.named_parameters())
    types = sorted({str(p.dtype) for p in parameters.values()})
    return not_finite_once(where, " ".join(types), lambda: not_finite(parameters))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file.

    Raises:
        UserError: the file is missing or damaged.
    """
    from safetensors.torch import load_file

    with damage_refused(path):
        return load_file(path)


def read_pickled(path: Path, fix: str) -> Any:
    """Return the tensors of a file that `torch.save` wrote.

    Raises:
        UserError: the file is missing or damaged.
    """
    with damage_refused(path, fix, RuntimeError):
        return torch.load(path, weights_only=True)


@contextmanager
def damage_refused(where: object, fix: str = AGAIN, *more: type[Exception]) -> Iterator[None]:
    """Return a context in which a file of weights that is missing or cut off is the user's error.

    Args:
        more: further exceptions by which the reader of the file says so.

    Raises:
        UserError: repeats what the reader of the file says.
    """
    from safetensors import SafetensorError

    kinds: tuple[type[Exception], ...] = (OSError, EOFError, pickle.UnpicklingError, SafetensorError, *more)
    try:
        yield
    except kinds as error:
        said = (reason_of(error) or type(error).__name__).splitlines()[0]
        raise UserError(f"the weights are incomplete or damaged: {said}", where=where, fix=fix) from None


def load_adapters(model: Any, path: Path) -> None:
    """Put the adapters of a file into a peft model that has such adapters. Those of a released method are stored in
    bfloat16 and widened to float32.

    Raises:
        UserError: the file is damaged, or holds other adapters.
    """
    import_peft()
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    expected = get_peft_model_state_dict(model, save_embedding_layers=False)
    found = {name: _widened(value, expected.get(name)) for name, value in read_tensors(path).items()}
    check_weights(found, expected, path)
    set_peft_model_state_dict(model, found)


def _widened(value: Tensor, expected: Tensor | None) -> Tensor:
    """Return a bfloat16 tensor in float32 where that is expected, which is exact; any other as it is."""
    stored = value.dtype == torch.bfloat16 and expected is not None and expected.dtype == torch.float32
    return value.float() if stored else value


def load_own(own: Mapping[str, Tensor], path: Path) -> None:
    """Put a file's tensors into a method's own ones; without any there is no such file.

    Raises:
        UserError: the file is missing or damaged, or holds other tensors.
    """
    found = read_tensors(path) if own or path.is_file() else {}
    check_weights(found, own, path)
    for name, value in own.items():
        value.copy_(found[name])
