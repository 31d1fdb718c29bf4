"""`metaicl tune`: a method's hyperparameters by Optuna on the meta-validation tasks, every trial recorded.

A trial trains the method (where it is meta-trained) with one choice of hyperparameters. Its value is the mean score on
the meta-validation tasks. The first trial has the method's defaults. They stay unless the best trial is better by more
than the standard error of the difference over tasks (the one-standard-error rule of Breiman et al., 1984): the best of
a few noisy numbers is often the luckiest. A stopped study continues: each proposal is a pure function of the seed and
of the trials that are finished. Meta-test tasks take no part.
"""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from eval.answering import make_validate, validation_cells
from eval.budget import within_budget
from eval.config import TuneRun
from eval.fingerprints import training_print
from eval.hyperparameters import FILE, Hyperparameters
from eval.search_space import SearchSpace
from eval.store import cell_store
from eval.study import claim_study
from metaicl.lm.kinds import AnyBackbone, load_backbone
from metaicl.methods import method_class
from metaicl.methods.base import Method
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainRun
from metaicl.training.estimate import first_episodes, steps_seconds, training_rate, validation_seconds
from metaicl.training.folders import one_process
from metaicl.training.preflight import check_episodes, validation_episodes
from metaicl.training.run import duration, train_run, write_config
from task_suites.core.errors import UserError, counted
from task_suites.core.flat import flat
from task_suites.core.idle import refuse_idle
from task_suites.core.line_store import LineStore
from task_suites.task import Task, TaskSuite

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

log = logging.getLogger("metaicl")
Say = Callable[[str], None]


@one_process
def tune_run(run: TuneRun, say: Say = print) -> dict[str, Any]:
    """Run the missing trials. What is chosen is written to `hyperparameters.yaml` (for `metaicl train --config`), and
    returned.

    Raises:
        UserError: nothing to tune, a space that the method does not have, no meta-validation task, a folder with
            another study, or no trial that ended well.
    """
    cls = method_class(run.method)
    space = SearchSpace.of(run)
    if not cls.meta_trained:
        refuse_idle(run.trainer, [f.name for f in fields(run.trainer)], "a method that is meta-trained")
        refuse_idle(run, ["budget_seconds"], "a method that is meta-trained")
    suite, note = run.suite.open()
    # without learned weights all trials share a backbone, and the embeddings that it caches
    learns = cls.meta_trained and cls.weights != "frozen"
    backbone = None if learns else load_backbone(cls.backbone_config(run.backbone))
    tuning = Tuning(run, space, suite, backbone, say)
    tuning.check_validation()
    claim_study(run, tuning.training({}, run.folder), space.ranges, suite)
    write_config(run.folder / "config.yaml", flat(_recorded(run)))
    if note:
        say(note)
    study = _open_study(run)
    done = len([t for t in study.trials if t.state.is_finished()])
    say(f"Tuning {run.method}: {counted(run.trials, 'trial')} over {', '.join(space.ranges)} ({done} are finished)")
    tuning = tuning.within_budget()
    if (seconds := (run.trials - done) * tuning.trial_seconds()) > 60:
        say(f"  about {duration(seconds)} on this machine (measured on a few steps)")
    started = time.monotonic()
    for number in range(done, run.trials):
        tuning.run_trial(study, number, aloud=number == done)
        left = (time.monotonic() - started) * (run.trials - number - 1)
        if number == done and left > 60:
            say(f"  about {duration(left)} more on this machine")
    best, sentence = _chosen(study, tuning.defaults, run)
    chosen = Hyperparameters.of_settings(best.params, run.method_options)
    chosen.write(run.folder / FILE, run.method)
    say(f"Chosen: {sentence}: {run.folder / FILE}")
    return chosen.to_dict(run.method)


@dataclass(frozen=True)
class Tuning:
    """A study that is being run.

    Attributes:
        run: its configuration.
        space: what is tuned, and how far.
        suite: the tasks.
        backbone: the model that all trials share; None where a trial learns its weights.
        say: takes a line for the user.
    """

    run: TuneRun
    space: SearchSpace
    suite: TaskSuite
    backbone: AnyBackbone | None
    say: Say

    @property
    def cls(self) -> type[Method]:
        """The method's class."""
        return method_class(self.run.method)

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The settings of the first trial."""
        return self.space.defaults(self.run)

    def training(self, settings: Mapping[str, Any], folder: Path) -> TrainRun:
        """Return the training of a trial with these settings in this folder."""
        run, chosen = self.run, Hyperparameters.of_settings(settings, self.run.method_options)
        return TrainRun(
            run_name=folder.name,
            output_dir=str(folder),
            suite=run.suite,
            method=run.method,
            method_options=dict(chosen.options),
            backbone=self.cls.backbone_config(run.backbone),
            format=run.format,
            trainer=chosen.trainer(run.trainer),
            validation=run.validation,
            progress=run.progress,
        )

    def method(self, training: TrainRun) -> Method:
        """Return the method of a training, before it is trained."""
        run = self.run
        return MethodConfig(run.method, training.method_options, training.backbone, run.format).build(self.backbone)

    def validated(self, method: Method) -> list[Task]:
        """Return the meta-validation tasks that the method serves."""
        return [task for task in self.suite.split("meta_validation") if method.refusal(task) is None]

    def check_validation(self) -> None:
        """Check before the first trial what every trial needs at its end.

        Raises:
            UserError: the method serves no validation task; or an episode does not fit, named as in `check_episodes`.
        """
        method = self.method(self.training({}, self.run.folder))
        validated = self.validated(method)
        if not validated:
            raise UserError(
                f"no meta-validation task that {self.run.method} serves",
                found=counted(len(self.suite.split("meta_validation")), "meta-validation task"),
                fix="Put tasks under meta_validation in the suite's YAML (`splits`), or choose another --suite.",
            )
        check_episodes(method, list(validation_episodes(validated, self.run.validation)), "--validation_k")

    def within_budget(self) -> Tuning:
        """Return the study with the steps that its budget of seconds allows. They are measured on the method's defaults
        and recorded for all trials."""
        run = self.run
        if not (run.budget_seconds and self.cls.meta_trained):
            return self
        training = self.training({}, run.folder)
        plan, print_ = run.folder / "plan.json", training_print(training, self.suite, run.budget_seconds)
        build = lambda: self.method(training)  # noqa: E731
        trainer = within_budget(plan, print_, run.budget_seconds, build, self.suite, run.trainer)
        self.say(f"A trial trains {trainer.max_steps} steps, as many as {run.budget_seconds:g} s allow")
        return replace(self, run=replace(run, trainer=trainer, budget_seconds=0.0))

    def trial_seconds(self) -> float:
        """Return the seconds that a trial should take: its training, where the method is meta-trained, and its
        validation."""
        training = self.training({}, self.run.folder)
        method = self.method(training)
        seconds = validation_seconds(method, self.validated(method), self.run.validation)
        tasks = [task for task in self.suite.split("meta_train") if method.refusal(task) is None]
        if self.cls.meta_trained and tasks:
            steps, episodes = training.trainer.resolved().max_steps, first_episodes(tasks, training.trainer)
            sizes = [method.tokens(episode) for episode in episodes]
            seconds += steps_seconds(training_rate(method, episodes), sizes, training.trainer, steps)
        return seconds

    def run_trial(self, study: Study, number: int, aloud: bool) -> None:
        """Run the trial of this number, and record it. One that fails, by diverging for example, is a result too.

        Args:
            aloud: whether what the trial trains is reported to the user.
        """
        study.sampler = _sampler(self.run, number)
        if number == 0 and self.defaults:
            study.enqueue_trial(self.defaults)
        trial: Trial = study.ask()
        settings = self.space.suggest(trial)
        started = time.monotonic()
        try:
            scores = trial_scores(self, settings, number, self.say if aloud else log.debug)
        except UserError as error:
            study.tell(trial, state=_failed())
            self.say(f"  trial {number}: {_shown(settings)}: failed ({str(error).splitlines()[0]})")
            _record(self.run.folder, number, settings, None, time.monotonic() - started)
            return
        trial.set_user_attr("scores", scores)
        study.tell(trial, fmean(scores.values()))
        _record(self.run.folder, number, settings, scores, time.monotonic() - started)
        self.say(f"  trial {number}: {_shown(settings)}: {100 * fmean(scores.values()):.2f}")


def trial_scores(tuning: Tuning, settings: Mapping[str, Any], number: int, say: Say) -> dict[str, float]:
    """Train the trial of this number, and return its score on each meta-validation task.

    The cells are stored in the study's `cells.jsonl`, so that a trial that was stopped answers none of them again.
    """
    folder = tuning.run.folder / f"trial-{number:03d}"
    training = tuning.training(settings, folder)
    if tuning.cls.meta_trained:
        method, _ = train_run(
            training, make_validate, say, tuning.suite, tuning.backbone, other_aside=True, estimate=False
        )
    else:
        method = tuning.method(training)
    print_ = training_print(replace(training, output_dir="", run_name=""), tuning.suite)
    store = cell_store(tuning.run.folder / "cells.jsonl")
    cells = validation_cells(method, folder.name, print_, tuning.validated(method), tuning.run.validation, store)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    by_task: dict[str, list[float]] = {}
    for cell in cells:
        by_task.setdefault(cell.task, []).append(cell.score)
    return {task: fmean(scores) for task, scores in by_task.items()}


def _recorded(run: TuneRun) -> TuneRun:
    """Return the run with a value for every option that the method decides."""
    cls = method_class(run.method)
    return replace(
        run,
        method_options=cls.configured(run.method_options).to_dict(),
        backbone=cls.backbone_config(run.backbone),
        format=cls.prompt_format(run.format),
    )


def _open_study(run: TuneRun) -> Study:
    """Return the study in the run's folder, with the trials that it has."""
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    log = run.folder / "trials.log"
    LineStore(log).append()  # Optuna would write behind what a kill left of a line
    try:
        storage = JournalStorage(JournalFileBackend(str(log)))
        return optuna.create_study(
            study_name=run.method, storage=storage, direction="maximize", load_if_exists=True, sampler=_sampler(run, 0)
        )
    except (ValueError, KeyError) as error:
        fix = "Delete the file. Trainings and cells of its trials are found again."
        raise UserError(f"not a record of trials ({type(error).__name__})", where=log, fix=fix) from None


def _sampler(run: TuneRun, number: int) -> Any:
    """Return the sampler of one trial. It is seeded by run and trial, so that a stopped study continues as it would
    have."""
    from optuna.samplers import TPESampler

    seed = int.from_bytes(hashlib.sha256(f"{run.sampler_seed}/{run.method}/{number}".encode()).digest()[:4], "big")
    return TPESampler(seed=seed, n_startup_trials=min(10, max(2, run.trials // 2)))


def _failed() -> Any:
    """Return the state of a trial that failed."""
    from optuna.trial import TrialState

    return TrialState.FAIL


def _chosen(study: Study, defaults: Mapping[str, Any], run: TuneRun) -> tuple[FrozenTrial, str]:
    """Return the trial whose settings are taken, and a sentence about it.

    Raises:
        UserError: no trial ended well.
    """
    good = [t for t in study.trials if t.value is not None]
    if not good:
        fix = "Narrow the space, or lower rates."
        raise UserError(f"every trial of {run.method} failed", where=run.folder, fix=fix)
    best = max(good, key=lambda t: (t.value or 0.0, -t.number))
    sentence = f"trial {best.number}, {100 * (best.value or 0.0):.2f} on meta-validation"
    first = next((t for t in good if t.params == defaults), best)
    if first is best or not within_error(best.user_attrs["scores"], first.user_attrs["scores"]):
        return best, sentence
    own = f"the defaults (trial {first.number}), {100 * (first.value or 0.0):.2f} on meta-validation"
    return first, f"{own}, within one standard error of {sentence}"


def within_error(best: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Return whether the mean gain of `best` over `other` is at most its standard error, over two tasks or more."""
    gains = [best[task] - other[task] for task in other]
    return len(gains) > 1 and fmean(gains) <= stdev(gains) / math.sqrt(len(gains))


def _record(
    folder: Path, number: int, settings: Mapping[str, Any], scores: Mapping[str, float] | None, seconds: float
) -> None:
    """Append a finished trial to the study's `trials.jsonl`."""
    value = fmean(scores.values()) if scores else None
    line = {"trial": number, "settings": dict(settings), "value": value, "scores": scores, "seconds": round(seconds, 1)}
    LineStore(folder / "trials.jsonl").append(line)


def _shown(settings: Mapping[str, Any]) -> str:
    """Return the settings of a trial in one line."""
    return ", ".join(f"{n}={v:.3g}" if isinstance(v, float) else f"{n}={v}" for n, v in settings.items())
