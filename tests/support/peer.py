"""One process of a training that loses another: `python peer.py FOLDER HOW`, with RANK, WORLD_SIZE, MASTER_ADDR and
MASTER_PORT. Rank 1, or with "dies-0" rank 0, is killed or stops in its third step; the others have little patience."""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch
from training import CONFIG, make

from metaicl.training import peers
from metaicl.training.trainer import Trainer

torch.set_num_threads(1)
folder, how = Path(sys.argv[1]), sys.argv[2]
rank = int(os.environ["RANK"])
peers.DEAD_SECONDS = 20.0
trainer = make(folder / "run", config=replace(CONFIG, max_steps=10_000, peer_timeout=30))
step = Trainer.take_step


def faulty(self: Trainer) -> dict[str, float]:
    if self.step == 2 and how == f"dies-{rank}":
        os.kill(os.getpid(), signal.SIGKILL)
    if self.step == 2 and how == f"stops-{rank}":  # the whole process, as on a machine that is gone
        os.kill(os.getpid(), signal.SIGSTOP)
    if self.step == 2 and how == f"hangs-{rank}":
        time.sleep(3600)
    return step(self)


Trainer.take_step = faulty  # type: ignore[method-assign]
trainer.run()
