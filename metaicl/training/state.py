"""The state of a training as a checkpoint holds it: whole tensors on the CPU, however the processes hold them.

learned.pt      the learned weights, and their mean over the last steps
optimizer.bin   the optimiser's state
random.pt       the generators of each process; no step of ours draws from them
"""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaicl.lm.weights import check_weights, read_pickled
from metaicl.training.engines.engine import Engine

State = dict[str, Any]  # what each file holds, by its name
LEARNED, OPTIMIZER, RANDOM = "learned.pt", "optimizer.bin", "random.pt"


def taken(engine: Engine, average: Mapping[str, Tensor]) -> State:
    """Return a copy of the state, which later steps do not change. All processes take part.

    Args:
        average: the mean of the last steps' weights, as the weights lie in this process.
    """
    return {
        LEARNED: {"learned": _copied(engine.whole(engine.held())), "average": _copied(engine.whole(average))},
        OPTIMIZER: _copied(engine.optimizer_state()),
        RANDOM: _of_all_processes(_generators()),
    }


def write(state: State, folder: Path) -> None:
    """Write a state's files. Each is made in memory: on a full disk `torch.save` does not end in every thread."""
    for name, content in state.items():
        made = io.BytesIO()
        torch.save(content, made)
        (folder / name).write_bytes(made.getbuffer())


def read(folder: Path, engine: Engine, backward: Callable[[], object] = lambda: None) -> dict[str, Tensor]:
    """Put a folder's state into weights, optimiser and generators; return the mean of the last steps' weights.

    Args:
        backward: makes gradients, which some engines need (`Engine.load_optimizer_state`).

    Raises:
        UserError: a file is missing or damaged, or holds other weights.
    """
    fix = f"Delete {folder} and give the same command, which begins again."
    path, learned = folder / LEARNED, engine.shapes()
    saved = read_pickled(path, fix)
    check_weights(saved["learned"], learned, path, fix)
    if saved["average"]:
        check_weights(saved["average"], learned, path, fix)
    if (folder / OPTIMIZER).is_file():
        engine.load_optimizer_state(read_pickled(folder / OPTIMIZER, fix), backward)
    engine.put(saved["learned"])
    if (folder / RANDOM).is_file():
        _restore(read_pickled(folder / RANDOM, fix))
    return engine.cut(saved["average"])


def _copied(value: Any) -> Any:
    """Return a copy in which all tensors are on the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, dict):
        return {name: _copied(item) for name, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def _generators() -> State:
    """Return the state of this process's generators."""
    kind, numbers, *rest = np.random.get_state(legacy=True)
    assert isinstance(numbers, np.ndarray)
    found: State = {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(numbers.astype(np.int64)), *rest),
        "torch": torch.get_rng_state(),
    }
    return found | ({"cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _of_all_processes(value: State) -> list[State]:
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def _restore(states: list[State]) -> None:
    """Put this process's generators back; a process that was not there before keeps its own."""
    import torch.distributed as dist

    rank = dist.get_rank() if dist.is_available() and dist.is_initialized() else 0
    if rank >= len(states):
        return
    found = states[rank]
    random.setstate(found["python"])
    kind, numbers, *rest = found["numpy"]
    np.random.set_state((kind, numbers.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(found["torch"])
    if "cuda" in found and torch.cuda.is_available():
        torch.cuda.set_rng_state(found["cuda"])
