"""A run from its configuration: the training command, the run folder and the manifest."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from metaicl.lm.config import BackboneConfig
from metaicl.lm.devices import device_for, precision_for, with_precision
from metaicl.lm.kinds import AnyBackbone
from metaicl.lm.machine import processor
from metaicl.lm.merged import holds_adapters
from metaicl.lm.released import method_folder
from metaicl.methods import method_class
from metaicl.methods.base import Method
from metaicl.methods.registry import not_meta_trained
from metaicl.training.checkpoint import (
    CARD,
    MethodConfig,
    check_base,
    load_method,
    read_card,
    read_training,
)
from metaicl.training.checkpoints import sound_checkpoint
from metaicl.training.config import TrainRun, ValidationConfig
from metaicl.training.estimate import training_seconds
from metaicl.training.folders import one_process, set_aside
from metaicl.training.identity import (
    OF_A_RUN,
    Finished,
    RunRecord,
    Training,
    changed_surroundings,
    differences,
    earlier_run,
    identity_of,
)
from metaicl.training.preflight import check_training
from metaicl.training.resolved import resolved
from metaicl.training.trackers import check_trackers
from metaicl.training.trainer import Trained, Trainer, Validate
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError, counted
from task_suites.core.flat import flat
from task_suites.core.values import as_yaml, plain
from task_suites.provenance import Record, check_unchanged, data_record, fingerprint_of
from task_suites.task import Task, TaskSuite

PACKAGES = ("metaicl", "torch", "transformers", "accelerate", "peft", "datasets", "evaluate", "numpy")


MakeValidate = Callable[[list[Task], ValidationConfig], Validate]


@one_process
def train_run(
    run: TrainRun,
    make_validate: MakeValidate,
    say: Callable[[str], None] = print,
    suite: TaskSuite | None = None,
    backbone: AnyBackbone | None = None,
    other_aside: bool = False,
    estimate: bool = True,
) -> tuple[Method, Trained]:
    """Open the suite, build the method and train it. A run that is finished is not trained again.

    Nothing is written before it is known that the run may continue. The run's folder says how to train it again.

    Args:
        make_validate: makes the function that values the method; it comes from the package above this one.
        say: takes a line that the main process reports.
        suite: the one that `run.suite` opens, where the caller has it open.
        backbone: a loaded model, for methods that learn none of its weights.
        other_aside: move another run in the folder aside, as `resume: false` does, rather than refuse.
        estimate: measure how long it takes, and report it.

    Raises:
        UserError: the folder holds another run, or a tracker is not installed; see also `Trainer`.
    """
    _check_meta_trained(run.method)
    check_trackers(run.report_to)
    run = replace(run, backbone=with_precision(run.backbone))  # the record says what ran
    suite, note = (suite, None) if suite else run.suite.open()
    record = _record(run, suite)
    before = _to_continue(run, record, other_aside)
    if before and _is_done(before, record, run.folder):
        return _finished(run, before, backbone, say)
    if before:
        sound_checkpoint(run.folder)
    trainer, held_out = _ready(run, record, suite, make_validate, backbone)
    if main := trainer.accelerator.is_main_process:
        _write_record(run, record, new=before is None, say=say)
        _announce(run, trainer, note, say)
        if before and (changed := changed_surroundings(before.manifest, record.manifest)):
            say(f"  {changed}")
        if estimate and not trainer.engine.in_step:  # there all processes go through the model at once
            seconds = training_seconds(trainer, run.validation, held_out, before is not None)
            say(f"  about {duration(seconds)} on this machine (measured on a few steps)")
    trained = trainer.run(resume=before is not None)
    if main:
        _write_end(run, record, trained)
        say(f"Best weights (step {trained.best_step}): {trained.folder}")
    return trainer.method, trained


def _check_meta_trained(method: str) -> None:
    if not method_class(method).meta_trained:
        raise not_meta_trained(method)


def _record(run: TrainRun, suite: TaskSuite) -> RunRecord:
    """Return which run this is, and what it learns from."""
    data = data_record(suite.tasks.values())
    return RunRecord(identity_of(run, suite, data), data, manifest(), inherited_tasks(run))


def _ready(
    run: TrainRun, record: RunRecord, suite: TaskSuite, make_validate: MakeValidate, backbone: AnyBackbone | None
) -> tuple[Trainer, list[Task]]:
    """Return the trainer of a run whose episodes have been checked, and the tasks that it validates on."""
    config = MethodConfig(run.method, run.method_options, run.backbone, run.format)
    method = config.build(backbone, run.trainer.seed)
    tasks, validated = suite.split("meta_train"), suite.split("meta_validation")
    check_training(method, tasks, validated, run.trainer, run.validation)
    held_out = [task for task in validated if run.trainer.eval_steps and method.refusal(task) is None]
    validate = make_validate(held_out, run.validation) if held_out else None
    progress, report_to = run.progress, run.report_to
    trainer = Trainer(method, config, tasks, run.trainer, run.folder, validate, progress, record, report_to)
    return trainer, held_out


def _announce(run: TrainRun, trainer: Trainer, note: str | None, say: Callable[[str], None]) -> None:
    """Report what is trained."""
    if note:
        say(note)
    weights = sum(p.numel() for p in trainer.engine.shapes().values())
    many, steps = counted(len(trainer.tasks), "task"), trainer.config.max_steps
    say(f"Meta-training {run.method} on {many}, {steps} steps, {weights:,} weights")


def _write_record(run: TrainRun, record: RunRecord, new: bool, say: Callable[[str], None]) -> None:
    """Write which run the folder holds; another run in it is moved aside before a new one begins."""
    if new and run.folder.exists() and any((run.folder / name).exists() for name in OF_A_RUN):
        say(f"The earlier content of {run.folder} is now in {set_aside(run.folder)}")
    record.write(run.folder)
    write_config(run.folder / "config.yaml", flat(replace(resolved(run), run_name=run.run_name or run.folder.name)))


def _to_continue(run: TrainRun, now: RunRecord, other_aside: bool) -> RunRecord | None:
    """Return the record of the run that continues; None where one begins, in a free folder or instead of one moved
    aside.

    Raises:
        UserError: the folder holds another run, and it is not to be moved aside.
    """
    found = earlier_run(run.folder, now.identity) if run.resume else None
    if not isinstance(found, str):
        return found
    if not other_aside:
        raise UserError(found)
    return None


def _is_done(before: RunRecord, now: RunRecord, folder: Path) -> bool:
    same = not differences(before.identity, now.identity)  # else it takes more steps now
    return same and before.finished is not None and (folder / "best" / CARD).is_file()


def _finished(
    run: TrainRun, before: RunRecord, backbone: AnyBackbone | None, say: Callable[[str], None]
) -> tuple[Method, Trained]:
    """Return what a finished run left, and report that it is not trained again."""
    ended = before.finished
    assert ended is not None
    if os.environ.get("RANK", "0") == "0":
        say(f"The run in {run.folder} is finished; --no-resume trains it again.")
    trained = Trained(run.folder / "best", **vars(ended))
    return load_method(trained.folder, backbone), trained


def _write_end(run: TrainRun, record: RunRecord, trained: Trained) -> None:
    """Write how the run ended."""
    finished = Finished(**{name: value for name, value in vars(trained).items() if name != "folder"})
    replace(record, finished=finished).write(run.folder)


def inherited_tasks(run: TrainRun) -> Record | None:
    """Return the tasks that the base model was meta-trained on, where it is one of our own trained methods; None where
    nothing says which these are."""
    folder = method_folder(run.backbone.model)
    if not (folder / CARD).is_file():
        return {}
    if holds_adapters(folder):
        check_base(folder, read_card(folder)[0].backbone)
    training = read_training(folder)
    return training.trained_on if training else None


def duration(seconds: float) -> str:
    """Seconds for people: `40 s`, `4 min`, `1 h 20 min`."""
    if seconds < 90:
        return f"{round(seconds)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


def check_data(folder: Path, now: Record) -> None:
    """Raise when the data is not what the comparison in `folder` recorded; a folder without a record is passed over.

    Raises:
        UserError: names the tasks that changed.
    """
    path = folder / "config.yaml"
    for one in yaml.safe_load_all(path.read_text(encoding="utf-8")) if path.is_file() else ():
        if isinstance(one, dict) and isinstance(one.get("manifest"), dict):
            check_unchanged(one["manifest"].get("tasks") or {}, now, path)


def check_held_out(folder: Path, now: Record, held_out: bool = True) -> None:
    """Raise when tasks changed since the training of the method saved in `folder`, or it learned from one of them,
    under whatever name. A method of which nothing is known passes.

    Args:
        now: the tasks that it is evaluated on.
        held_out: whether they are to be new to it.

    Raises:
        UserError: names the tasks; or its base model has other weights than in its training.
    """
    if holds_adapters(folder):
        check_base(folder, read_card(folder)[0].backbone)
    training = read_training(folder)
    if training is None:
        return
    check_unchanged(training.data, now, folder / CARD)
    twice = seen_tasks(training, now)
    if held_out and twice:
        raise UserError(
            f"{counted(len(twice), 'task')} of this comparison: the method was meta-trained on them",
            where=folder / CARD,
            found=", ".join(twice[:5]),
            expected="tasks that it has not seen",
            fix="Use the split of the training, or --split meta_train to look at training tasks.",
        )


def seen_tasks(training: Training, now: Record) -> list[str]:
    """Return the names of the tasks of `now` that a training learned from, under whatever name."""
    seen = {fingerprint_of(task) for task in training.trained_on.values()}
    return sorted(name for name, task in now.items() if fingerprint_of(task) in seen)


def check_base_model(name: str, now: Record) -> None:
    """Raise when the base model is one of our own trained methods and learned from the tasks `now`, or when nothing
    says what it was trained on.

    Raises:
        UserError: see `check_held_out`; or unknown provenance.
    """
    folder = method_folder(name)
    if not (folder / CARD).is_file():
        return
    check_held_out(folder, now)
    if read_training(folder) is None:
        fix = "Train it again, or give another base model as --model."
        raise unknown_training(f"the base model {name}", folder, fix)


def unknown_training(what: str, folder: Path, fix: str) -> UserError:
    """Return the error that nothing says what a trained method, or a base model, was trained on.

    Args:
        what: the method or methods, in words.
        folder: of the first of them.
        fix: the way out.
    """
    expected = '"training", as metaicl train writes it'
    return UserError(f"nothing says what {what} was trained on", where=folder / CARD, expected=expected, fix=fix)


def write_config(path: Path, config: dict[str, Any], data: Record | None = None) -> None:
    """Write the run's configuration, and in a second document the versions that it ran on and the data that it used."""
    about = manifest() | ({"tasks": data} if data is not None else {})
    second = yaml.safe_dump({"manifest": about}, sort_keys=False, allow_unicode=True)
    write_text(path, as_yaml(plain(config)) + "---\n" + second)


def manifest() -> dict[str, Any]:
    """Versions, machine and code revision of this process; nothing secret."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    device = device_for(BackboneConfig())
    return {
        "python": platform.python_version(),
        "versions": versions,
        "auto": {"device": device, "precision": precision_for(device)},  # what `auto` means here
        "machine": machine(),
        "git_revision": _git_revision(),
        "arguments": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def machine() -> str:
    """System, cores and processor: by it seconds are compared or not."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, {processor()}"


def _git_revision() -> str | None:
    here = Path(__file__).resolve().parent
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None
