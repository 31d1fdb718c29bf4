"""What a training was launched with: its processes, and the engine by which they share its work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from metaicl.training.config import TrainerConfig
from metaicl.training.engines.engine import Engine
from metaicl.training.engines.fsdp2 import FSDP2
from metaicl.training.engines.zero import Zero
from metaicl.training.peers import group_timeout
from task_suites.core.errors import UserError

if TYPE_CHECKING:
    from accelerate import Accelerator

ENGINES = {"ACCELERATE_USE_FSDP": FSDP2, "ACCELERATE_USE_DEEPSPEED": Zero}  # set by `accelerate launch` from its file


def joined(on_cpu: bool, config: TrainerConfig) -> tuple[Accelerator, type[Engine]]:
    """Return (what joins the processes of this launch, the engine of its file; for one process the plain one).

    Args:
        on_cpu: whether the model lies on the CPU.

    Raises:
        UserError: the launch is of an older FSDP, or not every process has a share of a step.
    """
    from accelerate import Accelerator

    engine = next((one for variable, one in ENGINES.items() if os.environ.get(variable) == "true"), Engine)
    if engine is FSDP2 and (version := os.environ.get("FSDP_VERSION", "1")) != "2":
        fix = "Set fsdp_version: 2, as configs/accelerate/fsdp2.yaml has it."
        raise UserError("metaicl train shards by FSDP2", found=f"fsdp_version {version}", fix=fix)
    with _not_by_accelerate():
        made = Accelerator(cpu=on_cpu, kwargs_handlers=[group_timeout(config.peer_timeout)])
    if config.episodes_per_step % made.num_processes:
        raise UserError(
            "episodes_per_step is not a multiple of the number of processes",
            found=f"{config.episodes_per_step} episodes, {made.num_processes} processes",
            fix="Every process must have a share of each step: change one of the two.",
        )
    return made, engine if made.num_processes > 1 else Engine


@contextmanager
def _not_by_accelerate() -> Iterator[None]:
    """Return a context in which Accelerate does not see the launch's engine, which it would call in its own way."""
    before = {variable: os.environ.pop(variable) for variable in ENGINES if variable in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)
