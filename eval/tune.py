"""`metaicl tune`: a method's recipe by Optuna on the meta-validation tasks, every trial recorded.

A trial trains the method (where it is meta-trained) under one choice of settings and is valued by its mean score on
meta-validation. The first trial is the method's defaults, which stay where no trial is better by more than the standard
error of the difference over tasks (the one-standard-error rule of Breiman et al., 1984): the best of a few noisy
numbers is often the luckiest. A stopped study continues: each proposal is a pure function of the seed and of
the trials that are finished. Meta-test tasks take no part.
"""

from __future__ import annotations

import hashlib
import logging
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import yaml

from eval.config import TuneRun
from eval.fingerprints import training_print
from eval.harness import make_scores, make_validate
from eval.quickstart.budget import within_budget
from eval.study import claim_study
from metaicl.lm.backbone import Backbone
from metaicl.methods import method_class
from metaicl.methods.base import RATE, Method
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.estimate import first_episodes, steps_seconds, training_rate, validation_seconds
from metaicl.training.folders import one_process
from metaicl.training.preflight import check_episodes, validation_episodes
from metaicl.training.run import duration, train_run, write_config
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError, counted, nearest
from task_suites.core.flat import flat
from task_suites.core.idle import refuse_idle
from task_suites.core.line_store import LineStore
from task_suites.core.values import plain
from task_suites.task import TaskSuite

log = logging.getLogger("metaicl")
TRAINER = tuple(f.name for f in fields(TrainerConfig))
RECIPE = "recipe.yaml"  # in a study's folder: what it has chosen
Range = Sequence[Any]  # ("float" | "log" | "int", low, high), or ("choice", value, value, ...)


@one_process
def tune_run(run: TuneRun, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Run the missing trials; the recipe is written to `recipe.yaml` (for `metaicl train --config`) and returned.

    Raises:
        UserError: nothing to tune, a space that the method does not have, no meta-validation task, a folder with
            another study, or no trial that ended well.
    """
    import optuna
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    cls = method_class(run.method)
    space = checked_space(run.space or cls.space or (RATE if cls.meta_trained else {}), run.method)
    if not cls.meta_trained:
        refuse_idle(run.trainer, [f.name for f in fields(run.trainer)], "a method that is meta-trained")
        refuse_idle(run, ["budget_seconds"], "a method that is meta-trained")
    suite, note = run.suite.open()
    folder = run.folder
    recorded = replace(
        run,
        method_options=cls.configured(run.method_options).to_dict(),
        backbone=cls.backbone_config(run.backbone),
        format=cls.prompt_format(run.format),
    )
    # without learned weights all trials share a backbone, and the embeddings that it keeps
    learns = cls.meta_trained and cls.weights != "frozen"
    backbone = None if learns else Backbone.load(cls.backbone_config(run.backbone))
    _check_validation(run, suite, folder, backbone)
    claim_study(run, _training(run, {}, folder), space, suite)
    write_config(folder / "config.yaml", flat(recorded))
    if note:
        say(note)
    storage = JournalStorage(JournalFileBackend(str(folder / "trials.log")))
    study = optuna.create_study(
        study_name=run.method, storage=storage, direction="maximize", load_if_exists=True, sampler=_sampler(run, 0)
    )
    done = [t for t in study.trials if t.state.is_finished()]
    say(f"Tuning {run.method}: {run.trials} trials over {', '.join(space)} ({len(done)} are finished)")
    if run.budget_seconds and cls.meta_trained:
        budget = run.budget_seconds
        run = _within_budget(run, folder, suite, backbone)
        say(f"A trial trains {run.trainer.max_steps} steps, as many as {budget:g} s allow")
    defaults = _defaults(run, cls, space)
    seconds = (run.trials - len(done)) * _trial_seconds(run, cls, suite, folder, backbone)
    if seconds > 60:
        say(f"  about {duration(seconds)} on this machine (measured on a few steps)")
    started = time.monotonic()
    for number in range(len(done), run.trials):
        study.sampler = _sampler(run, number)
        if number == 0 and defaults:
            study.enqueue_trial(defaults)
        trial = study.ask()
        settings = {name: _suggest(trial, name, limits) for name, limits in space.items()}
        before = time.monotonic()
        try:
            heard = say if number == len(done) else log.debug  # what a trial trains is reported once
            scores = _scores(run, cls, suite, settings, folder / f"trial-{number:03d}", backbone, heard)
        except UserError as error:  # a recipe that diverges is a result too
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            say(f"  trial {number + 1}: {_shown(settings)}: failed ({str(error).splitlines()[0]})")
            _record(folder, number, settings, None, time.monotonic() - before)
            continue
        trial.set_user_attr("scores", scores)
        study.tell(trial, fmean(scores.values()))
        _record(folder, number, settings, scores, time.monotonic() - before)
        say(f"  trial {number + 1}: {_shown(settings)}: {100 * fmean(scores.values()):.1f}")
        if number == len(done):
            left = (time.monotonic() - started) * (run.trials - number - 1)
            say(f"  about {duration(left)} more on this machine") if left > 60 else None
    good = [t for t in study.trials if t.value is not None]
    if not good:
        raise UserError(f"no trial of {run.method} ended well", where=folder, fix="Narrow the space, or lower rates.")
    best, said = _chosen(good, defaults)
    recipe = _recipe(run, dict(best.params))
    write_text(folder / RECIPE, yaml.safe_dump(recipe, sort_keys=False))
    say(f"Chosen: {said}: {folder / RECIPE}")
    return recipe


def _chosen(good: Sequence[Any], defaults: Mapping[str, Any]) -> tuple[Any, str]:
    """(the trial whose settings are taken, what is said of it)."""
    best = max(good, key=lambda t: (t.value, -t.number))
    said = f"trial {best.number + 1}, {100 * best.value:.1f} on meta-validation"
    first = next((t for t in good if t.params == defaults), best)
    if first is best or not within_error(best.user_attrs["scores"], first.user_attrs["scores"]):
        return best, said
    return first, f"the defaults, {100 * first.value:.1f} on meta-validation, within one standard error of {said}"


def within_error(best: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether the mean gain of `best` over `other` is no more than its standard error, over two tasks or more."""
    gains = [best[task] - other[task] for task in other]
    return len(gains) > 1 and fmean(gains) <= stdev(gains) / math.sqrt(len(gains))


def checked_space(space: Mapping[str, Range], method: str) -> dict[str, Range]:
    """The space, its names and ranges checked."""
    if not space:
        raise UserError(f"{method} has nothing to tune", fix="Give a space, such as {options.lr: [log, 1e-4, 1e-2]}.")
    for name, limits in space.items():
        if name not in TRAINER and not name.startswith("options."):
            raise UserError(f"space: unknown setting {name!r}", fix=f"{nearest(name, TRAINER)} Or options.NAME.")
        kind = limits[0] if limits else None
        right = len(limits) >= 2 if kind == "choice" else len(limits) == 3 and limits[1] < limits[2]
        if kind not in ("float", "log", "int", "choice") or not right:
            expected = "[float | log | int, low, high] or [choice, value, ...]"
            raise UserError(f"space: {name} is not a range", found=list(limits), expected=expected)
    return dict(space)


def _sampler(run: TuneRun, number: int) -> Any:
    """The sampler of one trial: seeded by run and trial, so that a stopped study continues as it would have."""
    from optuna.samplers import TPESampler

    seed = int.from_bytes(hashlib.sha256(f"{run.sampler_seed}/{run.method}/{number}".encode()).digest()[:4], "big")
    return TPESampler(seed=seed, n_startup_trials=min(10, max(2, run.trials // 2)))


def _suggest(trial: Any, name: str, limits: Range) -> Any:
    kind, *values = limits
    if kind == "choice":
        return trial.suggest_categorical(name, values)
    if kind == "int":
        return trial.suggest_int(name, *values)
    return trial.suggest_float(name, *values, log=kind == "log")


def _defaults(run: TuneRun, cls: type[Method], space: Mapping[str, Range]) -> dict[str, Any]:
    """The settings that the method has without tuning, as far as they lie in the space and are known."""
    given = {f"options.{n}": v for n, v in cls.configured(run.method_options).to_dict().items()}
    given |= asdict(run.trainer.resolved())
    found = {}
    for name, (kind, *values) in space.items():
        if name in given and (given[name] in values if kind == "choice" else values[0] <= given[name] <= values[1]):
            found[name] = given[name]
    return found


def _scores(
    run: TuneRun,
    cls: type[Method],
    suite: TaskSuite,
    settings: Mapping[str, Any],
    folder: Path,
    backbone: Backbone | None,
    say: Callable[[str], None],
) -> dict[str, float]:
    """Each meta-validation task's score under these settings."""
    training = _training(run, settings, folder)
    config = MethodConfig(run.method, training.method_options, run.backbone, run.format)
    if cls.meta_trained:
        method, _ = train_run(training, make_validate, say, suite, backbone, other_aside=True, estimate=False)
    else:
        method = config.build(backbone)
    held_out = [task for task in suite.split("meta_validation") if method.refusal(task) is None]
    scores = make_scores(held_out, run.validation)(method)
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return scores


def _check_validation(run: TuneRun, suite: TaskSuite, folder: Path, backbone: Backbone | None) -> None:
    """Check before the first trial what every trial needs at its end: validation tasks whose episodes fit the model.

    Raises:
        UserError: the method serves no validation task; or an episode does not fit, named as in `check_episodes`.
    """
    config = MethodConfig(run.method, _training(run, {}, folder).method_options, run.backbone, run.format)
    method = config.build(backbone)
    validated = [task for task in suite.split("meta_validation") if method.refusal(task) is None]
    if not validated:
        raise UserError(
            f"no meta-validation task that {run.method} serves",
            found=counted(len(suite.split("meta_validation")), "meta-validation task"),
            fix="Put tasks under meta_validation in suite.yaml, or choose another --suite.",
        )
    check_episodes(method, list(validation_episodes(validated, run.validation)), "--validation_k")


def _trial_seconds(run: TuneRun, cls: type[Method], suite: TaskSuite, folder: Path, backbone: Backbone | None) -> float:
    """The seconds that a trial should take: its training where the method is meta-trained, and its valuation."""
    training = _training(run, {}, folder)
    method = MethodConfig(run.method, training.method_options, training.backbone, run.format).build(backbone)
    held_out = [task for task in suite.split("meta_validation") if method.refusal(task) is None]
    seconds = validation_seconds(method, held_out, run.validation)
    tasks = [task for task in suite.split("meta_train") if method.refusal(task) is None]
    if cls.meta_trained and tasks:
        steps, episodes = training.trainer.resolved().max_steps, first_episodes(tasks, training.trainer)
        sizes = [method.tokens(episode) for episode in episodes]
        seconds += steps_seconds(training_rate(method, episodes), sizes, training.trainer, steps)
    return seconds


def _within_budget(run: TuneRun, folder: Path, suite: TaskSuite, backbone: Backbone | None) -> TuneRun:
    """The run with the steps that its budget allows instead of the budget. They are measured on the method's defaults
    and kept for all trials."""
    training = _training(run, {}, folder)
    config = MethodConfig(run.method, training.method_options, training.backbone, run.format)
    plan, print_ = folder / "plan.json", training_print(training, suite, run.budget_seconds)
    trainer = within_budget(plan, print_, run.budget_seconds, lambda: config.build(backbone), suite, run.trainer)
    return replace(run, trainer=trainer, budget_seconds=0.0)


def _training(run: TuneRun, settings: Mapping[str, Any], folder: Path) -> TrainRun:
    trainer, options = _parted(settings)
    return TrainRun(
        run_name=folder.name,
        output_dir=str(folder),
        suite=run.suite,
        method=run.method,
        method_options={**run.method_options, **options},
        backbone=method_class(run.method).backbone_config(run.backbone),
        format=run.format,
        trainer=replace(run.trainer, **trainer),
        validation=run.validation,
        progress=run.progress,
    )


def _recipe(run: TuneRun, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a training configuration that was tuned."""
    trainer, options = _parted(settings)
    recipe: dict[str, Any] = {"method": run.method, "method_options": {**run.method_options, **options}}
    return plain({**recipe, **trainer})  # type: ignore[no-any-return]


def _parted(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(the outer loop's settings, the method's options), by their own names."""
    options = {name.partition(".")[2]: v for name, v in settings.items() if name.startswith("options.")}
    return trainer_settings(settings), options


def trainer_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a recipe's settings that are options of training."""
    return {name: value for name, value in settings.items() if name in TRAINER}


def _record(
    folder: Path, number: int, settings: Mapping[str, Any], scores: Mapping[str, float] | None, seconds: float
) -> None:
    value = fmean(scores.values()) if scores else None
    line = {"trial": number, "settings": dict(settings), "value": value, "scores": scores, "seconds": round(seconds, 1)}
    LineStore(folder / "trials.jsonl").append(line)


def _shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{n}={v:.3g}" if isinstance(v, float) else f"{n}={v}" for n, v in settings.items())
