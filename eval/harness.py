"""Methods x tasks x shots x seeds, all on the same episodes, into one results table that survives interruption.

A cell is one (method, task, seed, k). Its episode is a pure function of (seed, task, k), so every method answers
the same queries after the same demonstrations. Finished cells are kept in `cells.jsonl` and never done again while
nothing that they depend on has changed.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable, Container, Mapping, Sequence
from copy import copy
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from eval.answering import Answered, answer_episodes, answered_cell, protocol_episodes
from eval.calibration import calibration
from eval.cells import Cell, Refusal
from eval.config import Protocol
from eval.contenders import Contender
from eval.further_scores import further_scores
from eval.processes import ALONE, Processes, check_each_once, take_over
from eval.refusals import reasons
from eval.results import MethodResult, Results, TaskResult
from metaicl.lm.shared_work import nothing_shared, rows_shared
from metaicl.methods.base import Method
from metaicl.training.run import manifest
from task_suites.core.atomic import make_folder, write_text
from task_suites.core.errors import UserError, nearest
from task_suites.core.line_store import json_line
from task_suites.core.values import plain
from task_suites.demonstrations import fixed_support
from task_suites.episodes import Episode
from task_suites.provenance import prompt_fingerprint
from task_suites.retrieval import Retriever
from task_suites.task import Task

CELLS = "cells.jsonl"  # in a comparison's folder: its finished cells


class Comparison:
    """Runs contenders over tasks and keeps what is finished in `folder`."""

    def __init__(self, tasks: Sequence[Task], protocol: Protocol, folder: Path, processes: Processes = ALONE):
        if not tasks:
            raise UserError("no task to evaluate on", fix="Allow more forms or tasks, or choose another split.")
        for name in protocol.demonstrations:
            if name not in (names := [task.name for task in tasks]):
                raise UserError(f"demonstrations: no task {name!r} is evaluated", fix=nearest(name, names))
        for task in tasks:
            fixed_support(task, protocol.demonstrations.get(task.name, ()))  # a name that no example has is found now
        self.tasks, self.protocol, self.folder = list(tasks), protocol, folder
        self.others = list(tasks)  # the same in a part, so that its episodes are those of the whole
        self.prints = {task.name: task.fingerprint() for task in tasks}
        self._retrievers: dict[str, Retriever] = {}
        self._retrieved: dict[tuple[str, int, int], list[Episode]] = {}
        self._keys: dict[tuple[str, str, int, int], str] = {}
        make_folder(folder / "predictions")
        self.processes = processes
        if processes.is_main:
            take_over(folder / CELLS)
        processes.meet()
        self.store = processes.store(folder / CELLS)

    def part(self, tasks: Sequence[Task], seeds: int, ks: Sequence[int]) -> Comparison:
        """Return the comparison on some of its tasks and ks, and its first support sets; both share their finished
        cells."""
        made = copy(self)
        made.tasks, made.prints = list(tasks), {task.name: self.prints[task.name] for task in tasks}
        made.protocol = replace(
            self.protocol, k=list(ks), seeds=seeds, curve_seeds=min(seeds, self.protocol.curve_seeds)
        )
        return made

    def run_all(self, contenders: Sequence[Contender], begin: Callable[[Contender], Callable[[], None]]) -> None:
        """Run all contenders, in all processes of the launch; each returns when all are done.

        Args:
            begin: called before each contender; what it returns is called after each of its cells.
        """
        keys = [self._key(contender, *cell) for contender in contenders for cell in self.plan(contender)]
        mine = self.processes.share(key for key in keys if key not in self.store) if self.processes.count > 1 else None
        for contender in contenders:
            self.run(contender, begin(contender), mine)
        self.processes.meet()
        if mine is not None and self.processes.is_main:
            take_over(self.folder / CELLS, self.store, mine)
            check_each_once(keys, self.store)
            for contender in contenders:
                self._write_predictions(contender)

    def run(
        self,
        contender: Contender,
        tick: Callable[[], None] = lambda: None,
        mine: Container[str] | None = None,
    ) -> None:
        """Run all of a contender's cells that are not finished yet; `tick` is called after each cell.

        Args:
            mine: the keys of the cells that this process answers; None: all.
        """
        build = cache(contender.build)  # not before a cell needs it
        for task, seed, k in self.plan(contender):
            key = self._key(contender, task, seed, k)
            if key not in self.store and (mine is None or key in mine):
                self.fill(contender, build, task, seed, k)
            tick()
        if mine is None:
            self._write_predictions(contender)

    def unfinished(self, contender: Contender) -> list[tuple[Task, int, int]]:
        """Return the contender's cells that are still to do."""
        return [cell for cell in self.plan(contender) if self._key(contender, *cell) not in self.store]

    def size(self, method: Method, task: Task, seed: int, k: int) -> int:
        """Return the tokens of a cell's episodes; 0 where the method does not serve the task or no episode can be
        drawn."""
        if method.refusal(task):
            return 0
        try:
            return sum(method.tokens(episode) for episode in self.episodes(task, seed, k))
        except UserError:  # the cell will be refused, with its reason
            return 0

    def answer(self, method: Method, task: Task, seed: int, k: int) -> Answered | None:
        """Answer a cell and keep nothing of it; None where it cannot be served."""
        try:
            with nothing_shared():
                return answer_episodes(method, self.episodes(task, seed, k))
        except UserError:  # whoever runs the cell gets the reason
            return None

    def fill(self, contender: Contender, build: Callable[[], Method], task: Task, seed: int, k: int) -> Cell | Refusal:
        """Run one of the contender's cells on the method that `build` gives, keep it, and return it."""
        self.store.add(cell := self._cell(contender, build, task, seed, k))
        return cell

    def finished(self, contender: Contender) -> list[Cell | Refusal]:
        """Return the contender's finished cells with their predictions, in the order of the plan."""
        keys = [self._key(contender, *cell) for cell in self.plan(contender)]
        return [replace(self.store[key], method=contender.name) for key in keys if key in self.store]

    def scored(self, contender: Contender) -> list[Cell]:
        """Return those of the finished cells that have a score."""
        return [cell for cell in self.finished(contender) if isinstance(cell, Cell)]

    def plan(self, contender: Contender) -> list[tuple[Task, int, int]]:
        """Return the (task, seed, k) cells of a contender: all, or `contender.cells` pairs spread over tasks and
        seeds."""
        tasks, seeds = self.tasks, self.protocol.seeds
        pairs = [(t, s) for s in range(seeds) for t in tasks]
        if 0 < contender.cells < len(pairs):
            order = random.Random("part of the cells").sample(range(len(tasks)), len(tasks))
            places = (divmod(i, len(tasks)) for i in range(contender.cells))
            pairs = [(tasks[order[place]], (turn + place) % seeds) for turn, place in places]
        largest, few = max(self.protocol.k), self.protocol.curve_seeds or seeds
        return [(t, s, k) for k in self.protocol.k for t, s in pairs if k == largest or (contender.curve and s < few)]

    def _key(self, contender: Contender, task: Task, seed: int, k: int) -> str:
        """Return what a cell's answers and score depend on, hashed: the contender, the task's head, the episode as
        drawn."""
        name = (contender.fingerprint, task.name, seed, k)
        if name not in self._keys:
            try:
                drawn: Any = [asdict(x) for e in self.episodes(task, seed, k) for x in (*e.support, *e.queries)]
            except UserError as error:
                drawn = ["no episode", str(error), self.prints[task.name]]
            head = [contender.fingerprint, task.name, prompt_fingerprint(task, ""), seed, k]
            text = json.dumps([*head, drawn])
            self._keys[name] = hashlib.sha256(text.encode()).hexdigest()[:24]
        return self._keys[name]

    def episodes(self, task: Task, seed: int, k: int) -> list[Episode]:
        """Return the episodes of a cell: one, or one for each query where demonstrations are retrieved.

        Raises:
            UserError: none can be drawn.
        """
        if not self.protocol.retrieval:
            return protocol_episodes(self.protocol, task, seed, k, others=self.others)
        if task.name not in self._retrievers:
            self._retrievers[task.name] = Retriever(task, self.protocol.retrieval, self.protocol.diversity)
        cell = (task.name, seed, k)
        if cell not in self._retrieved:  # every contender asks, and an embedding may be slow
            retriever = self._retrievers[task.name]
            self._retrieved[cell] = protocol_episodes(self.protocol, task, seed, k, retriever, self.others)
        return self._retrieved[cell]

    def _cell(self, contender: Contender, build: Callable[[], Method], task: Task, seed: int, k: int) -> Cell | Refusal:
        """Run a cell. One that cannot be served (no episode can be drawn, a prompt does not fit, ...) is refused:
        whatever the reason is, the other cells are not to be lost to it."""
        key = self._key(contender, task, seed, k)

        def refused(reason: object, by_design: bool = False) -> Refusal:
            return Refusal(contender.name, task.name, seed, k, str(reason), by_design, key)

        try:
            episodes = self.episodes(task, seed, k)
        except UserError as error:
            return refused(error)
        method = build()
        if reason := method.refusal(task):
            return refused(reason, by_design=True)
        try:
            with rows_shared():
                done = answer_episodes(method, episodes)
        except UserError as error:
            return refused(error)
        return answered_cell(contender.name, episodes, seed, k, done, key)

    def _write_predictions(self, contender: Contender) -> None:
        lines = []
        for cell in self.scored(contender):
            head = {"method": cell.method, "task": cell.task, "seed": cell.seed, "k": cell.k}
            lines += [json_line({**head, "index": i, **asdict(one)}) for i, one in enumerate(cell.predictions)]
        write_text(self.folder / "predictions" / f"{contender.name}.jsonl", "".join(lines))

    def results(
        self,
        contenders: Sequence[Contender],
        name: str = "",
        command: str = "",
        about: Mapping[str, Any] | None = None,
        **header: Any,
    ) -> Results:
        """Return the results (docs/results-format.md) of contenders that have run.

        Args:
            contenders: what ran.
            name, command, header: as in `Results`.
            about: what the manifest says besides versions and machine.

        Raises:
            UserError: every cell was refused; the message has the reasons.
        """
        finished = [cell for contender in contenders for cell in self.finished(contender)]
        cells = [_recorded(cell) for cell in finished if isinstance(cell, Cell)]
        refusals = [replace(cell, key="") for cell in finished if isinstance(cell, Refusal)]
        if not cells:
            fix = "Mend one of these reasons, or choose methods that answer such tasks."
            raise UserError("no cell could be evaluated", found=reasons(refusals) or "no finished cell", fix=fix)
        return Results(
            name=name,
            created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            command=command,
            manifest={**manifest(), **(about or {}), "task_fingerprints": self.prints},
            headline_k=max(cell.k for cell in cells),
            seeds=list(range(self.protocol.seeds)),
            methods=tuple(self._described(c, [x for x in cells if x.method == c.name]) for c in contenders),
            tasks=tuple(_described_task(task) for task in self.tasks),
            cells=tuple(cells),
            refusals=tuple(refusals),
            k=self.protocol.k,
            protocol=asdict(self.protocol),
            **header,
        )

    def _described(self, contender: Contender, done: Sequence[Cell]) -> MethodResult:
        return MethodResult(
            name=contender.name,
            label=contender.label,
            method=contender.method or contender.name,
            note=contender.note,
            trained=contender.trained,
            folder=str(contender.folder) if contender.folder else None,
            settings=plain(dict(contender.settings)),
            provenance="unknown" if contender.unknown else "known",
            train_seconds=contender.train_seconds,
            eval_seconds=sum(cell.seconds for cell in done),
            cells_done=len(done),
            cells_all=len(self.plan(replace(contender, cells=0))),
        )


def _recorded(cell: Cell) -> Cell:
    """Return a finished cell as the results have it: without its predictions, with their calibration and scores."""
    found = calibration(cell.predictions)
    kept = replace(cell, predictions=(), key="", scores=further_scores(cell.predictions) or None)
    return replace(kept, ece=found.ece, brier=found.brier) if found else kept


def _described_task(task: Task) -> TaskResult:
    classes = len(task.labels) or len(task.examples("test")[0].options or ())
    return TaskResult(task.name, task.metric, task.type, task.family, classes, 1 / classes if classes else None)
