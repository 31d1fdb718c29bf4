"""The outer loop: a `Method`'s loss over batches of episodes, on Accelerate (CPU, one GPU, several processes).

Each step draws `episodes_per_step` episodes as a pure function of (seed, step); the processes share them out. Loss sums
and weights add up over rows and processes before the division, so that one process with accumulation, several
processes, and one large batch take the same step. Everything needed to continue exactly lies in a checkpoint: no step
draws from a global generator.
"""

from __future__ import annotations

import logging
import math
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from metaicl.methods.base import Method
from metaicl.methods.registry import not_meta_trained
from metaicl.training import state
from metaicl.training.averaging import add_to_average, take_average
from metaicl.training.checkpoint import CARD, MethodConfig, save_method
from metaicl.training.checkpoints import METRICS, Checkpoints, counts_of, sound_checkpoint
from metaicl.training.config import TrainerConfig
from metaicl.training.group_dro import GroupDRO
from metaicl.training.guards import Interrupted, Signals, check_space, not_finite
from metaicl.training.identity import RunRecord
from metaicl.training.launch import joined
from metaicl.training.pace import Pace, brief
from metaicl.training.peers import Peers
from metaicl.training.preflight import check_episodes
from metaicl.training.progress_bars import no_bar
from metaicl.training.rows import Rows
from metaicl.training.step_episodes import served_tasks, training_episodes
from metaicl.training.trackers import Trackers
from task_suites.core.atomic import make_folder, write_text
from task_suites.core.errors import UserError
from task_suites.core.line_store import LineStore
from task_suites.episodes import Episode
from task_suites.task import Task

log = logging.getLogger("metaicl")
Validate = Callable[[Method], Mapping[str, float]]


@dataclass
class Trained:
    """How a run ended: the best weights are in the method and in `folder`. `mixing_weights` are those of the tasks,
    where they were learned."""

    folder: Path
    steps: int
    best_step: int
    best_value: float | None
    seconds: float
    mixing_weights: Mapping[str, float] | None = None


class Trainer:
    """Trains one method; `run_dir` gets checkpoints/, best/ and metrics.jsonl.

    Args:
        validate: the method's value on each held-out task, higher is better; called on the main process's method in
            every process, so that all decide alike.
        progress: whether to draw a progress bar.
        record: which run this is and on which data; saved with the weights.
        report_to: the trackers that get each line of metrics.jsonl too (`metaicl.training.trackers`).
    """

    def __init__(
        self,
        method: Method,
        method_config: MethodConfig,
        tasks: Sequence[Task],
        config: TrainerConfig,
        run_dir: Path,
        validate: Validate | None = None,
        progress: bool = True,
        record: RunRecord | None = None,
        report_to: Sequence[str] = (),
    ):
        if not method.meta_trained:
            raise not_meta_trained(method_config.name)
        config.task_mixing().check(tasks)
        self.tasks = served_tasks(tasks, method, method_config.name)
        self.method, self.method_config, self.config = method, method_config, config.resolved()
        self.run_dir, self.validate, self.progress, self.record = run_dir, validate, progress, record
        on_cpu = method.backbone.device.type == "cpu"
        self.accelerator, engine = joined(on_cpu, config)
        self.engine = engine(method, config, self.accelerator)
        self.peers = Peers(self.accelerator.process_index, self.accelerator.num_processes, config.peer_timeout)
        self.rows = Rows(method, self.engine, config.row_tokens, ready=self._has_its_losses)
        self.checkpoints = Checkpoints(run_dir, self.accelerator)
        self.trackers = Trackers(report_to, run_dir, self.accelerator)
        learns_weights = config.mixing == "group_dro"
        self.task_weights = GroupDRO([t.name for t in self.tasks], config.mixing_step_size) if learns_weights else None
        self.average: dict[str, torch.Tensor] = {}  # the mean of the last steps' weights so far
        self.step = 0
        self.queries = 0  # of this process so far
        self.best: tuple[float, int] | None = None
        self.stale = 0  # validations since the best one
        self.seconds = 0.0
        self.signals = Signals()
        self.to_stop = False  # whether a signal has reached one of the processes

    # -- one step ------------------------------------------------------------------------------------------------

    def take_step(self) -> dict[str, float]:
        """Take one optimiser step; return its loss (per unit of weight, over all processes), rate and gradient norm."""
        config, world = self.config, self.accelerator.num_processes
        self.peers.advance(2 * self.step)
        episodes = training_episodes(self.tasks, config, self.step)
        check_episodes(self.method, episodes)  # of all processes, so that all stop alike
        total, weight, asked, *each = self._backward(episodes)
        if not math.isfinite(total):
            raise not_finite(self.run_dir, self.step + 1, "loss", total, episodes)
        rate = config.rate(self.step)
        norm = self.engine.step(world / max(weight, 1.0), rate)
        if not math.isfinite(norm):
            raise not_finite(self.run_dir, self.step + 1, "gradient norm", norm, episodes)
        self.step += 1
        if self.task_weights:
            names = [episode.key[1] for episode in episodes]
            self.task_weights.update(zip(names, each[::2], each[1::2], strict=True))
        self.to_stop = bool(asked)
        dropped = {"dropped_demonstrations": float(self.method.dropped)} if self.method.dropped else {}
        return {"loss": total / max(weight, 1.0), "learning_rate": rate, "grad_norm": norm, **dropped}

    def _backward(self, episodes: Sequence[Episode]) -> list[float]:
        """Add up the gradients of this process's share of a step's episodes. Return, over all processes, the loss sum,
        the weight, whether one is to stop, and loss sum and weight of each episode where weights are learned."""
        world, rank = self.accelerator.num_processes, self.accelerator.process_index
        mine, dro = episodes[rank::world], self.task_weights
        self.queries += sum(len(episode.queries) for episode in mine)
        sums = torch.zeros(3, device=self.accelerator.device, dtype=torch.float64)
        sums[2] = self.signals.number  # a process that is to stop informs the others
        if dro:
            factors = dro.factors()
            each = torch.zeros(len(episodes), 2, device=sums.device, dtype=sums.dtype)
            each[rank::world] = self.rows.backward_each(mine, [factors[episode.key[1]] for episode in mine])
            sums[:2] = each.sum(0)
            sums = torch.cat([sums, each.flatten()])
        else:
            sums[:2] = self.rows.backward(mine)
        values: list[float] = self.accelerator.reduce(sums, "sum").tolist()
        return values

    def _has_its_losses(self) -> None:
        """Note that from here on this process waits for the others' gradients."""
        self.peers.advance(2 * self.step + 1)

    # -- the run -------------------------------------------------------------------------------------------------

    def run(self, resume: bool = True) -> Trained:
        """Train to the end, continuing from the newest checkpoint when `resume`; the best weights end in the method."""
        from tqdm import tqdm

        main = self.accelerator.is_main_process
        self._begin(resume)
        bar = tqdm(
            total=self.config.max_steps,
            initial=self.step,
            desc=self.method_config.name,
            unit="step",
            disable=no_bar(main and self.progress),
            dynamic_ncols=True,
        )
        options = self.record.options() if self.record else asdict(self.config)
        with self.peers.watched(), self.trackers.reporting(self.step, options):
            with self.signals.watched():
                self._take_steps(bar)
            bar.close()
            if self._out_of_patience():
                log.info("stopped early at step %d: no better validation for %d rounds", self.step, self.stale)
            trained = self._finish()
            self.accelerator.wait_for_everyone()
        self.accelerator.end_training()  # ends the process group too, so it comes after the last meeting of processes
        return trained

    def _take_steps(self, bar: Any) -> None:
        """Take the steps that are left, with what is due after each; a signal ends them after a whole one."""
        before, queries, pace = self.seconds, self.queries, Pace(self.method)
        while self.step < self.config.max_steps and not self._out_of_patience():
            try:
                values = self.take_step()
            except UserError:
                self._keep_what_is_learned()
                raise
            number = self.step - math.ceil(self.config.max_steps * (1 - self.config.weight_averaging))
            add_to_average(self.average, number, self.engine.held())
            self.seconds = before + pace.seconds
            values |= pace.values(self.queries - queries)
            bar.update()
            bar.set_postfix(brief(values))
            if self.step % self.config.logging_steps == 0 or self.step == self.config.max_steps:
                learned = self.task_weights.metrics() if self.task_weights else {}
                self._log({**values, "seconds": self.seconds, **learned})
            if self._due(self.config.eval_steps) and self.validate:
                self.stale = 0 if self._validate() else self.stale + 1
            if self._due(self.config.save_steps) or self.to_stop:
                self.save_checkpoint(wait=self.to_stop)
            if self.to_stop:
                raise Interrupted(self.signals.number or signal.SIGTERM, self.step)

    def _out_of_patience(self) -> bool:
        return bool(self.config.early_stopping_patience) and self.stale >= self.config.early_stopping_patience

    def _keep_what_is_learned(self) -> None:
        """Save a checkpoint of the last whole step, since the next one cannot be taken. With several processes the
        others may wait elsewhere, so that only the checkpoints so far are kept."""
        if self.step and self.accelerator.num_processes == 1:
            self.save_checkpoint()
            log.warning("Step %d cannot be taken; the state after step %d is kept", self.step + 1, self.step)

    def _due(self, every: int) -> bool:
        return bool(every) and (self.step % every == 0 or self.step == self.config.max_steps)

    def _validate(self, when: str = "at step ") -> bool:
        assert self.validate is not None
        scores = self.validate(self.method)
        value = fmean(scores.values())
        worst = min(scores, key=lambda task: (scores[task], task))
        self._log({"validation": value, "worst_task_validation": scores[worst]})
        if self.accelerator.is_main_process:
            low = 100 * scores[worst]
            log.info("validation %s%d: %.1f points, worst task %s: %.1f", when, self.step, 100 * value, worst, low)
        better = self.best is None or value > self.best[0]
        if better:
            self.best = (value, self.step)
            self._save_best()
        return better

    def _save_best(self) -> None:
        whole = self.engine.model_state()
        with self.engine.saving():
            if self.accelerator.is_main_process:
                training = self.record.training([task.name for task in self.tasks]) if self.record else None
                save_method(self.method, self.method_config, self.run_dir / "best", training, whole)
            self.accelerator.wait_for_everyone()

    def _finish(self) -> Trained:
        self.checkpoints.finish()
        if self.average and self.step == self.config.max_steps:
            take_average(self.average, self.engine.held())
            if self.config.eval_steps and self.validate:
                self._validate("of the averaged weights, after step ")
        if self.best is None:
            self._save_best()
        else:
            self.engine.load(self.run_dir / "best")
        value, step = self.best if self.best else (None, self.step)
        weights = self.task_weights.weights() if self.task_weights else None
        return Trained(self.run_dir / "best", self.step, step, value, self.seconds, weights)

    def _log(self, values: dict[str, float]) -> None:
        if not self.accelerator.is_main_process:
            return
        LineStore(self.run_dir / METRICS).append({"step": self.step, **values})
        self.trackers.log(values, self.step)

    # -- checkpoints ---------------------------------------------------------------------------------------------

    def _begin(self, resume: bool) -> None:
        """Put the folder into the state of the newest checkpoint, or of step 0 where there is none to continue."""
        self.method.dropped = 0  # the measured first step may have counted some
        main = self.accelerator.is_main_process
        if main:
            make_folder(self.run_dir)
            self.checkpoints.tidy()
        self.accelerator.wait_for_everyone()
        checkpoint = self._to_continue() if resume else None
        if checkpoint:
            self._load(checkpoint)
        self.accelerator.wait_for_everyone()
        if main and checkpoint:
            write_text(self.run_dir / METRICS, (checkpoint / METRICS).read_text(encoding="utf-8"))
        elif main:
            shutil.rmtree(self.run_dir / "checkpoints", ignore_errors=True)
            write_text(self.run_dir / METRICS, "")

    def _to_continue(self) -> Path | None:
        """Return the newest checkpoint; None where there is none, or where its best weights are gone.

        Raises:
            UserError: a file of the checkpoint is missing or changed.
        """
        newest = sound_checkpoint(self.run_dir)
        if newest and counts_of(newest)["best"] and not (self.run_dir / "best" / CARD).is_file():
            log.warning("the best weights so far are gone from %s: the training begins at its first step", self.run_dir)
            return None
        return newest

    def save_checkpoint(self, wait: bool = True) -> None:
        """Write a checkpoint of the last step. All processes take part.

        Args:
            wait: until it lies whole; without, the training may continue while it is written.

        Raises:
            UserError: the disk has no room for it, or the one before could not be written.
        """
        self.checkpoints.finish()
        check_space(self.run_dir, self.method)
        now = state.taken(self.engine, self.average)
        self.checkpoints.save(self.step, self._counts(), now)
        if wait:
            self.checkpoints.finish()
            self.accelerator.wait_for_everyone()

    def _counts(self) -> dict[str, Any]:
        """Return what the loop has counted, for a checkpoint."""
        names = ("step", "best", "stale", "seconds")
        learned = {"task_weights": self.task_weights.exponents} if self.task_weights else {}
        return {name: getattr(self, name) for name in names} | {"dropped": self.method.dropped} | learned

    def _load(self, folder: Path) -> None:
        counts = counts_of(folder)
        first = training_episodes(self.tasks, self.config, counts["step"])
        self.average = state.read(folder, self.engine, lambda: self._backward(first))
        self.step, self.stale, self.seconds = counts["step"], counts["stale"], counts["seconds"]
        self.best = tuple(counts["best"]) if counts["best"] else None  # type: ignore[assignment]
        self.method.dropped = counts["dropped"]
        if self.task_weights:
            self.task_weights.load(counts["task_weights"])
        log.info("continuing from step %d", self.step)
