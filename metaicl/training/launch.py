"""The processes that a training was launched with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaicl.training import sharding
from metaicl.training.config import TrainerConfig
from metaicl.training.peers import group_timeout
from task_suites.core.errors import UserError

if TYPE_CHECKING:
    from accelerate import Accelerator


def make_accelerator(on_cpu: bool, config: TrainerConfig) -> tuple[Accelerator, bool]:
    """Return (what joins the processes of this launch, whether they are to share the model).

    Args:
        on_cpu: whether the model lies on the CPU.

    Raises:
        UserError: the launch is of an engine that metaicl does not run, or not every process has a share of a step.
    """
    from accelerate import Accelerator

    to_shard = sharding.wanted()
    handlers = [group_timeout(config.peer_timeout)]
    with sharding.not_by_accelerate():
        made = Accelerator(cpu=on_cpu, kwargs_handlers=handlers)
    if config.episodes_per_step % made.num_processes:
        raise UserError(
            "episodes_per_step is not a multiple of the number of processes",
            found=f"{config.episodes_per_step} episodes, {made.num_processes} processes",
            fix="Every process must have a share of each step: change one of the two.",
        )
    return made, to_shard and made.num_processes > 1
