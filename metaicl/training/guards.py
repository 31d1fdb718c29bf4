"""What keeps a training from losing work: signals that end it after a whole step, a disk that is full, a step that
cannot be taken.
"""

from __future__ import annotations

import json
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from metaicl.methods.base import Method
from task_suites.core.atomic import make_folder, write_text
from task_suites.core.errors import UserError
from task_suites.core.values import plain
from task_suites.episodes import Episode

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SPARE = 1.2  # of a checkpoint's bytes, what has to be free before one is written


class Interrupted(KeyboardInterrupt):
    """A signal has ended a training after a whole step, and its state is saved.

    Attributes:
        code: the exit status of the process, 128 and the signal's number.
    """

    def __init__(self, number: int, step: int):
        super().__init__(f"{signal.Signals(number).name} after step {step}; the same command continues from there")
        self.code = 128 + number


class Signals:
    """The signals that arrived while this was watching.

    Attributes:
        number: the first one's number; 0 where none came.
    """

    number = 0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Return a context in which the first SIGINT or SIGTERM is noted, and a second one acts as it did before. One
        that the process ignores stays ignored.

        Only the main thread of a process receives signals; elsewhere nothing is watched.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        before = {n: handler for n, handler in before.items() if handler is not signal.SIG_IGN}  # as nohup asks

        def note(number: int, frame: FrameType | None) -> None:
            self.number = number
            for each, handler in before.items():
                signal.signal(each, handler)

        for number in before:
            signal.signal(number, note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def check_space(folder: Path, method: Method) -> None:
    """Raise unless the disk has room for another checkpoint: learned weights and AdamW's two moments of each.

    Raises:
        UserError: gives what is free and what is needed.
    """
    needed = round(SPARE * 3 * sum(p.numel() * p.element_size() for p in method.learned().values()))
    make_folder(folder)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise UserError(
            f"the disk has no room for a checkpoint in {folder}",
            found=f"{free >> 20:,} MB free",
            expected=f"{-(-needed >> 20):,} MB",
            fix="Make room and give the same command: it continues from the checkpoint before.",
        )


def not_finite(folder: Path, step: int, name: str, value: float, episodes: Sequence[Episode]) -> UserError:
    """Return the error that a step's loss or gradient is not finite; the step's episodes are written into a file.

    Args:
        name: "loss" or "gradient norm".
    """
    path = folder / f"failed-step-{step:06d}.json"
    drawn = [{"task": e.task.name, "support": e.support, "queries": e.queries} for e in episodes]
    content = {"step": step, "what": f"{name} {value}", "episodes": drawn}
    write_text(path, json.dumps(plain(content), ensure_ascii=False) + "\n")
    return UserError(
        f"the {name} is {value} at step {step}, which was not taken",
        found=f"the episodes in {path}",
        fix="The same command repeats the step. Lower learning_rate, or use --dtype float32 in another --output_dir.",
    )
