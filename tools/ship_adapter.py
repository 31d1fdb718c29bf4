"""Put a trained run's adapters into the package, as the released method of a name.

    python tools/ship_adapter.py runs/release smollm2-135m-metaicl

The adapters are rounded to bfloat16, which halves the file. What names a path on this machine is replaced by a name
that holds anywhere. The base model is identified by the hash of the file that it is pulled from, which does not depend
on the versions here. The table of tasks is written into the model card between its two marks; the rest of the card is
written by hand.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from metaicl.lm.merged import ADAPTERS, CARD
from metaicl.lm.models import MODELS
from metaicl.lm.released import RELEASED
from metaicl.training.checkpoint import FREE
from metaicl.training.seals import hashes

HUB = {"smollm2-135m": "HuggingFaceTB/SmolLM2-135M-Instruct"}  # where the same base model lies for plain peft
MARKS = ("<!-- tasks -->", "<!-- end of tasks -->")


def adapters(source: Path, target: Path, base: str) -> None:
    """Write the adapters in bfloat16, and their configuration with the base model's name on the hub."""
    tensors = {name: value.to(torch.bfloat16) for name, value in load_file(source / ADAPTERS).items()}
    save_file(tensors, target / ADAPTERS, {"format": "pt"})
    (target / ADAPTERS).chmod(0o644)
    config = json.loads((source / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = HUB[base]
    config["target_modules"] = sorted(config["target_modules"])
    (target / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def card(source: Path, target: Path, base: str) -> dict[str, Any]:
    """Write `method.json`, and return it."""
    found = json.loads((source / CARD).read_text(encoding="utf-8"))
    found["backbone"] |= {"dtype": "auto", "device": "auto"}  # the quicker one on the machine that it runs on
    run = found["training"]["run"]
    del run["model.sha256"]  # of the pulled folder, in which library versions stand
    run["model.package"] = f"{MODELS[base].requirement}, sha256 {MODELS[base].sha256}"
    for record in (found["training"]["data"], found["training"]["trained_on"]):
        for task in record.values():
            task["suite"] = Path(task["suite"]).name
    found["files"] = hashes(target, FREE)
    (target / CARD).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def tasks(page: Path, found: dict[str, Any]) -> None:
    """Write the table of what the method learned from into the model card."""
    rows = ["| task | suite | source | licence |", "|---|---|---|---|"]
    for name, task in sorted(found["training"]["trained_on"].items(), key=lambda one: (one[1]["suite"], one[0])):
        rows.append(f"| {name} | {task['suite']} | {task['source']} | {task['licence']} |")
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    page.write_text(f"{before}{MARKS[0]}\n{chr(10).join(rows)}\n{MARKS[1]}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="the run's folder")
    parser.add_argument("name", choices=sorted(RELEASED))
    given = parser.parse_args()
    released, source = RELEASED[given.name], given.run / "best"
    released.folder.mkdir(parents=True, exist_ok=True)
    adapters(source, released.folder, released.base)
    found = card(source, released.folder, released.base)
    tasks(released.folder / "README.md", found)
    size = (released.folder / ADAPTERS).stat().st_size / 1e6
    print(f"{released.folder}: {size:.1f} MB, {len(found['training']['trained_on'])} tasks")


if __name__ == "__main__":
    main()
