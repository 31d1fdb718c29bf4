"""An evaluation by several processes of one launch (torchrun, `accelerate launch`): each cell is answered by one.

The cells that are not finished are dealt out in the order of the plan. The main process adds those that it answers to
`cells.jsonl`, each other one to a file of its own, which the main one takes over at the end, or at the next start where
a process was killed. All processes see one file system.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from eval.cells import Cell, Refusal
from eval.results import Results
from eval.store import Store, cell_store
from task_suites.core.errors import UserError, counted

PATIENCE = timedelta(hours=24)  # for the slowest process; a launcher ends the others where one has failed


@dataclass(frozen=True)
class Processes:
    """The processes of a launch.

    Attributes:
        rank: this one's number; 0 is the main process.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def of_launch(cls) -> Processes:
        """Return the processes that this one was launched with; by itself it is the only one."""
        return cls(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def meet(self) -> None:
        """Wait until all processes have come here."""
        if self.count == 1:
            return
        import torch.distributed as dist

        if not dist.is_initialized():
            dist.init_process_group("gloo", timeout=PATIENCE)
        dist.barrier()

    def end(self) -> None:
        """Wait for all processes a last time, and end what they have in common."""
        self.meet()
        if self.count > 1:
            import torch.distributed as dist

            dist.destroy_process_group()

    def results(self, folder: Path) -> Results:
        """Wait until the main process has written the results, and return them."""
        self.end()
        return Results.load(folder)

    def share(self, keys: Iterable[str]) -> set[str]:
        """Return those of the cells, by their keys, that are this process's to answer."""
        return set(list(dict.fromkeys(keys))[self.rank :: self.count])

    def store(self, path: Path) -> Store[Cell | Refusal]:
        """Return the finished cells in a file. What a process other than the main one adds goes to its own file."""
        return cell_store(path, None if self.is_main else _own_file(path, self.rank))


def take_over(path: Path, store: Store[Cell | Refusal] | None = None, own: Container[str] = ()) -> None:
    """Add the cells that other processes answered to the store in the file `path`, and delete their files.

    Args:
        store: the store in that file, where it is open.
        own: the keys of the cells that the main process has answered itself.

    Raises:
        UserError: two processes have answered a cell.
    """
    files = sorted(path.parent.glob(f"{path.stem}.rank-*{path.suffix}"))
    if not files:
        return
    store, answered = store or cell_store(path), set[str]()
    for file in files:
        for cell in cell_store(file).all():
            if cell.key in answered or cell.key in own:
                fix = f"Delete {file} and give the same command: what it held is computed again."
                raise UserError("two processes have answered one cell", where=file, found=cell.key, fix=fix)
            answered.add(cell.key)
            if cell.key not in store:  # it is there where taking over was interrupted
                store.add(cell)
    for file in files:
        file.unlink()


def check_each_once(keys: Iterable[str], store: Store[Cell | Refusal]) -> None:
    """Raise where a cell of the plan has not been answered by any process.

    Raises:
        UserError: counts them.
    """
    if lost := {key for key in keys if key not in store}:
        fix = "Give the same command again: it answers what is left."
        raise UserError(f"no process has answered {counted(len(lost), 'cell')}", fix=fix)


def _own_file(path: Path, rank: int) -> Path:
    return path.with_name(f"{path.stem}.rank-{rank}{path.suffix}")


ALONE = Processes()
