"""Adapters of an embedding that a model uses twice: as its input embedding and as its output layer.

Unmerged they are exact. A merge in plain peft adds them to the one matrix that both share, so the other use of it
changes too and the logits are wrong. The note that is saved beside such adapters says how to merge them.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from metaicl.lm.adapter_library import import_peft

log = logging.getLogger("metaicl")
NOTE = """
## Merging these adapters

They adapt {names}, and the base model uses one matrix both as input embedding and as output layer. A plain
`merge_and_unload` changes both uses of it and gives wrong logits. Give the output layer a matrix of its own first:

```python
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained(base)  # the base model's name or folder
model.config.tie_word_embeddings = False
head = model.get_output_embeddings()
head.weight = torch.nn.Parameter(head.weight.detach().clone())
merged = PeftModel.from_pretrained(model, adapters).merge_and_unload()  # the name of this folder
```
"""


def adapted_tied_layers(model: Any) -> list[str]:
    """Return the names of the embedding and the output layer where they share their weights and have adapters; else
    none."""
    import_peft()
    from peft import PeftModel
    from peft.tuners.tuners_utils import BaseTunerLayer

    if not isinstance(model, PeftModel):
        return []
    base: Any = model.get_base_model()
    layers = [base.get_input_embeddings(), base.get_output_embeddings()]
    if None in layers:
        return []
    inner: list[Any] = [layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer for layer in layers]
    if inner[0].weight.data_ptr() != inner[1].weight.data_ptr():
        return []
    names = {id(module): name.rpartition(".")[2] for name, module in base.named_modules()}
    return [names[id(layer)] for layer in layers if isinstance(layer, BaseTunerLayer)]


def warn_of_merging(model: Any, scratch: Path, folder: Path) -> None:
    """Where a plain merge of a model's adapters would be wrong, say so, and write into `scratch` how to merge them.

    Args:
        scratch: where the adapters are saved now; it becomes `folder`.
    """
    if not (names := adapted_tied_layers(model)):
        return
    with (scratch / "README.md").open("a", encoding="utf-8") as page:
        page.write(NOTE.format(names=" and ".join(names)))
    log.warning(
        "The adapters of %s are on weights that the model uses twice: merging them in plain peft gives wrong logits. "
        "%s says how to merge them.",
        " and ".join(names),
        folder / "README.md",
    )
