"""How a model is run, remembered beside the pulled models, so that one model is checked once and not at every start.

An entry holds for exactly what it was found for: the files of the weights, the configuration of the backbone, the
versions of the libraries and of the code that is checked, and the processor. Where any of it differs, or the entry
cannot be read, the model is checked again.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any, get_args

import torch

from metaicl.lm import machine, tiny
from metaicl.lm.choice import Attention, Choice, Fallback
from metaicl.lm.config import BackboneConfig
from metaicl.lm.configuration import commit_of
from metaicl.lm.models import resolve
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError
from task_suites.core.files import user_cache

log = logging.getLogger("metaicl")
HEADER = 8  # bytes that say how long a safetensors header is
PARTS = ("*.safetensors", "*.bin", "*.json", "*.py")  # of a model's folder: weights, configuration, its own code
LIBRARIES = ("torch", "transformers", "peft", "safetensors")


@dataclass(frozen=True)
class Entry:
    """The stored choice of one model; `path` is None for a model that cannot be told from others."""

    path: Path | None
    key: dict[str, Any]

    def read(self) -> Choice | None:
        """Return the choice that was kept, or None where there is none for exactly this model here."""
        if self.path is None or not self.path.is_file():
            return None
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:  # unreadable, or damaged
            log.debug("%s is not an entry (%s): the model is checked again", self.path, error)
            return None
        same = isinstance(kept, dict) and kept.get("key") == self.key
        return _choice_from(kept.get("choice")) if same else None

    def write(self, choice: Choice) -> None:
        """Store a choice, where its path can be written."""
        if self.path is None or self.read() == choice:
            return
        try:
            write_text(self.path, json.dumps({"key": self.key, "choice": asdict(choice)}, indent=1) + "\n")
        except UserError as error:
            log.debug("The checks of this model are not kept: %s", error)


def entry(config: BackboneConfig, model: Any, device: str) -> Entry:
    """Return the entry of a freshly loaded model on a device, under a configuration whose precision is settled."""
    weights = _weights(config)
    if weights is None:
        return Entry(None, {})
    key = {
        "weights": weights,
        "backbone": asdict(config),
        "model": f"{type(model).__module__}.{type(model).__qualname__}",
        "dtype": str(next(model.parameters()).dtype),
        "versions": {name: importlib.metadata.version(name) for name in LIBRARIES},
        "code": _code(),
        "processor": _processor(device),
    }
    key = json.loads(json.dumps(key))  # as it is read back
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]
    return Entry(user_cache() / "checks" / f"{digest}.json", key)


def _weights(config: BackboneConfig) -> Any:
    """Return what distinguishes the weights of a model from all others, or None where nothing does."""
    if config.model == tiny.NAME:  # has no files, and is checked in no time
        return None
    folder = Path(source := resolve(config.model))
    if not folder.is_dir():
        return [source, commit_of(source, config.on_hub())]
    files = sorted({path for part in PARTS for path in folder.glob(part)})
    return [str(folder.resolve()), [[p.name, p.stat().st_size, p.stat().st_mtime_ns, _header(p)] for p in files]]


def _header(path: Path) -> str | None:
    """Return the hash of a safetensors file's header (names, types, shapes); None for another file."""
    if path.suffix != ".safetensors":
        return None
    with path.open("rb") as data:
        length = int.from_bytes(data.read(HEADER), "little")
        return hashlib.sha256(data.read(min(length, path.stat().st_size))).hexdigest()


@cache
def _code() -> str:
    """Return a hash of the modules whose answers are kept: a changed one checks every model again."""
    here = Path(__file__).resolve().parent
    digest = hashlib.sha256()
    for path in sorted(here.rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _processor(device: str) -> list[str]:
    if device.startswith("cuda"):
        return [torch.cuda.get_device_name(device), str(torch.version.cuda)]
    return [machine.identity()]


def _choice_from(kept: Any) -> Choice | None:
    """Return the choice that JSON holds, or None where it holds something else."""
    names = {field.name for field in fields(Choice)}
    if not isinstance(kept, dict) or kept.keys() != names or not isinstance(kept["fallbacks"], list):
        return None
    flags = kept["output_head"], kept["last_network"]
    if kept["attention"] not in get_args(Attention) or not all(isinstance(flag, bool) for flag in flags):
        return None
    fallbacks = []
    for one in kept["fallbacks"]:
        if not isinstance(one, dict) or one.keys() != {"way", "reason"}:
            return None
        fallbacks.append(Fallback(str(one["way"]), str(one["reason"])))
    return Choice(kept["attention"], *flags, tuple(fallbacks))
