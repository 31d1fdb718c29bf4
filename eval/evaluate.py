"""The evaluate command: contenders from their names, the comparison, results.json and the report."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from eval.config import EvaluateRun, Protocol
from eval.estimate import comparison_seconds
from eval.fingerprints import answers_print
from eval.harness import Comparison, Contender, make_validate, protocol_episode
from eval.report.page import table, write_report
from eval.results import Results, Roles
from metaicl.lm.backbone import Backbone
from metaicl.lm.config import BackboneConfig
from metaicl.lm.devices import with_precision
from metaicl.methods import method_class
from metaicl.methods.base import Method
from metaicl.training.checkpoint import CARD, MethodConfig, load_method, read_card, read_training, trained_folder
from metaicl.training.config import TrainRun
from metaicl.training.folders import one_process
from metaicl.training.identity import RUN
from metaicl.training.run import (
    check_data,
    check_held_out,
    duration,
    train_run,
    unknown_training,
    write_config,
)
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError, counted, nearest
from task_suites.core.files import sha256
from task_suites.core.flat import flat
from task_suites.core.idle import refuse_idle
from task_suites.core.line_store import LineStore
from task_suites.formats.prompt_format import PromptFormat
from task_suites.provenance import Record, data_record
from task_suites.task import Task, TaskSuite

DONE = "finished.json"  # in the folder of a finished training


class Backbones:
    """Backbones by configuration, each loaded once in a process (methods that are evaluated leave them as they are)."""

    def __init__(self) -> None:
        self._loaded: dict[BackboneConfig, Backbone] = {}

    def __call__(self, config: BackboneConfig) -> Backbone:
        config = config.resolved()
        if config not in self._loaded:
            self._loaded[config] = Backbone.load(config)
        return self._loaded[config]


def contender(
    name: str,
    backbone: BackboneConfig,
    form: PromptFormat,
    backbones: Backbones,
    options: dict[str, Any] | None = None,
    cells: int = 0,
    curve: bool = True,
) -> Contender:
    """A contender from a registry name, `package.module:Name`, or the folder of a run or of its best weights.

    Raises:
        UserError: an unknown name, or a method that needs meta-training and is given by name.
    """
    if folder := trained_folder(name):
        return trained_contender(folder)
    cls = method_class(name)
    if cls.meta_trained:
        raise UserError(
            f"method {name} is meta-trained before it is compared",
            fix=f"Run: metaicl train --method {name}, then give its folder, {TrainRun(method=name).folder}.",
        )
    config = MethodConfig(name, options or {}, cls.backbone_config(backbone, shared=True), form).resolved()

    def build() -> Method:
        return config.build(backbones(config.backbone))

    print_ = answers_print(config)
    return Contender(name, cls.label, build, print_, cls.note, cells=cells, curve=curve, settings=asdict(config))


def trained_contender(folder: Path, train_seconds: float | None = None, backbone: Backbone | None = None) -> Contender:
    """The contender of a method saved in `folder` (on a backbone at hand, if given), named after its run."""
    config = read_card(folder)[0].resolved()
    cls = method_class(config.name)
    files = sorted(p for p in folder.iterdir() if p.suffix == ".safetensors")
    print_ = answers_print(config, *map(sha256, files))
    seconds = train_seconds if train_seconds is not None else _train_seconds(folder.parent / "metrics.jsonl")
    return Contender(
        named_after(folder),
        cls.label,
        lambda: load_method(folder, backbone),
        print_,
        cls.note,
        trained=True,
        train_seconds=seconds,
        method=config.name,
        folder=folder,
        unknown=read_training(folder) is None,
        settings=asdict(config),
    )


def named_after(folder: Path, more: int = 0) -> str:
    """The name of a trained method: its run's (`runs/NAME/best`), or that of its folder, and the names of this many
    folders above before it."""
    place = folder.resolve()
    parts = (place.parent if place.name == "best" else place).parts[1:]
    return "-".join(parts[-1 - more :])


def distinct(contenders: Sequence[Contender]) -> list[Contender]:
    """The contenders, each with a name and a label of its own: two runs of one name are distinguished by the folders
    above them, two of one label by their names.

    Raises:
        UserError: one method, or one folder, is named twice.
    """
    given = [c.folder.resolve() if c.folder else c.name for c in contenders]
    if twice := sorted({str(one) for one in given if given.count(one) > 1}):
        raise UserError(f"methods named twice: {', '.join(twice)}", fix="Name each method, and each folder, once.")
    named, more = list(contenders), 0
    while clash := {c.name for c in named if [other.name for other in named].count(c.name) > 1}:
        more += 1
        named = [replace(c, name=named_after(c.folder, more)) if c.folder and c.name in clash else c for c in named]
    labels = [c.label for c in named]
    return [replace(c, label=f"{c.label} ({c.name})") if labels.count(c.label) > 1 else c for c in named]


def name_meant(wanted: str, contenders: Sequence[Contender]) -> str:
    """The name of the contender that is called `wanted`, or the first that was trained by the method `wanted`."""
    folders = (Path(wanted), Path(wanted) / "best")
    names = [c.name for c in contenders if c.name == wanted or c.folder in folders]
    return next(iter([*names, *(c.name for c in contenders if c.method == wanted)]), wanted)


def finished_training(run: TrainRun, print_: str, backbone: Backbone | None = None) -> Contender | None:
    """The trained contender in the run's folder, where `train_once` finished it under this name."""
    best, done = run.folder / "best", run.folder / DONE
    if not (done.is_file() and (best / CARD).is_file()):
        return None
    before = json.loads(done.read_text())
    return trained_contender(best, before["seconds"], backbone) if before["config"] == print_ else None


def train_once(
    run: TrainRun,
    print_: str,
    suite: TaskSuite,
    say: Callable[[str], None] = print,
    backbone: Backbone | None = None,
) -> Contender:
    """Train, and leave word in the run's folder that it is finished."""
    _, trained = train_run(run, make_validate, say, suite, backbone, other_aside=True, estimate=False)
    done = {"config": print_, "seconds": trained.seconds, "steps": trained.steps}
    write_text(run.folder / DONE, json.dumps(done) + "\n")
    return trained_contender(trained.folder, trained.seconds, backbone)


def _train_seconds(path: Path) -> float | None:
    seconds = [row["seconds"] for _, row in LineStore(path).read() if "seconds" in row]
    return seconds[-1] if seconds else None


def run_all(comparison: Comparison, contenders: Sequence[Contender], progress: bool) -> None:
    """Run every contender through the comparison, with one progress bar."""
    from tqdm import tqdm

    total = sum(len(comparison.plan(c)) for c in contenders)
    with tqdm(total=total, desc="evaluating", unit="cell", disable=not progress, dynamic_ncols=True) as bar:

        def tick() -> None:
            bar.update()

        for c in contenders:
            bar.set_postfix(method=c.name)
            comparison.run(c, tick)


def rendered_prompt(tasks: Sequence[Task], protocol: Protocol, form: PromptFormat, k: int = 4) -> dict[str, Any] | None:
    """The segments of one short prompt, for the report; None where the format suits none of the tasks."""
    for task in sorted(tasks, key=lambda t: (t.form != "options", len(t.examples("train")[0].text))):
        try:
            episode = protocol_episode(protocol, task, 0, min(k, max(protocol.k)))
            bound = replace(form.subclassed(), chat=False).of(task)  # contents only: no tokenizer is at hand here
            query = episode.queries[0]
            branch = bound.branch(query, bound.targets(query)[0])
        except UserError:  # the reason why this task's cells were refused, which the report shows
            continue
        segments = [*bound.opening(task), *(s for e in episode.support for s in bound.demonstration(e))]
        rows = [{"role": s.role, "text": s.text, "scored": s in branch and s.scored} for s in (*segments, *branch)]
        return {"task": task.name, "k": len(episode.support), "segments": rows}
    return None


def finish(ran: Comparison, contenders: Sequence[Contender], form: PromptFormat, **header: Any) -> Results:
    """Write results.json, prompt.json and the report into the comparison's folder; the results are returned."""
    header.setdefault("command", "metaicl " + shlex.join(sys.argv[1:]))
    results = replace(ran.results(contenders, **header), folder=ran.folder)
    write_text(ran.folder / "results.json", json.dumps(results.to_json(), ensure_ascii=False, indent=1) + "\n")
    if prompt := rendered_prompt(ran.tasks, ran.protocol, form):
        write_text(ran.folder / "prompt.json", json.dumps(prompt, ensure_ascii=False) + "\n")
    write_report(ran.folder)
    return results


def check_methods(run: EvaluateRun) -> None:
    """Raise a `UserError` where no method is named, or options are given for one that is not."""
    if not run.methods:
        raise UserError("no method to evaluate", expected="at least one of --methods", fix="Name some: --methods icl.")
    for name in run.method_options:
        if name not in run.methods:
            where = "method_options"
            raise UserError(
                f"options for a method that is not evaluated: {name!r}", where=where, fix=nearest(name, run.methods)
            )


def check_given(run: EvaluateRun) -> None:
    """Raise where an option was given that none of the methods reads."""
    named = [name for name in run.methods if not trained_folder(name)]
    for name in named:
        method_class(name).configured(run.method_options.get(name, {})).check_idle(name)
    if not named:
        needs = "a method that is not loaded from a folder"
        refuse_idle(run.backbone, [f.name for f in fields(run.backbone)], needs)
        refuse_idle(run.format, [f.name for f in fields(run.format)], needs, "format.")
    protocol = run.protocol
    refuse_idle(protocol, ["curve_seeds"], "several numbers in k", used=len(protocol.k) > 1)


@one_process
def evaluate_run(run: EvaluateRun, say: Callable[[str], None] = print, suite: TaskSuite | None = None) -> Results:
    """Compare methods on one meta-split and leave predictions, results and report in the run's folder.

    Args:
        suite: the one that `run.suite` opens, where the caller has it open.
    """
    started = time.monotonic()
    check_methods(run)
    check_given(run)
    if (run.folder / RUN).is_file():
        raise UserError(f"{run.folder} holds a training", fix="Give the comparison another --output_dir.")
    run = replace(run, backbone=with_precision(run.backbone))  # what ran is what the configuration says
    suite, note = (suite, None) if suite else run.suite.open()
    tasks = suite.split(run.split)
    data = data_record(tasks)
    check_data(run.folder, data)
    backbones = Backbones()
    contenders = distinct(
        [contender(name, run.backbone, run.format, backbones, run.method_options.get(name)) for name in run.methods]
    )
    for role in ("highlight", "baseline"):
        used = name_meant(getattr(run, role), contenders) in [c.name for c in contenders]
        refuse_idle(run, [role], f"such a method; there are {', '.join(c.name for c in contenders)}", used=used)
    unknown = _check_provenance(run, contenders, data)
    comparison = Comparison(tasks, run.protocol, run.folder)
    write_config(run.folder / "config.yaml", flat(run), data)
    say(
        f"{counted(len(contenders), 'method')} on {counted(len(tasks), 'task')} of {suite.name} ({run.split}), "
        f"{counted(run.protocol.seeds, 'support set')} a task, k {run.protocol.k}"
    )
    if note:
        say(note)
    estimate = comparison_seconds(comparison, contenders)
    if estimate > 60:
        say(f"  about {duration(estimate)} on this machine (measured on a few cells of each method, which are kept)")
    run_all(comparison, contenders, run.progress)
    results = finish(
        comparison,
        contenders,
        run.format,
        name=run.run_name or run.folder.name,
        seconds=time.monotonic() - started,
        about={"suite": suite.name, "backbone": asdict(run.backbone), "tasks": data},
        filtered=note,
        comparison=Roles(name_meant(run.highlight, contenders), name_meant(run.baseline, contenders)),
        notes=[f"{label}: nothing says what it was trained on; tasks may not be new to it." for label in unknown],
    )
    say(table(results))
    say(f"Report: {run.folder / 'report.html'}")
    return results


def _check_provenance(run: EvaluateRun, contenders: Sequence[Contender], data: Record) -> list[str]:
    """The labels of contenders of which nobody knows what they were trained on.

    A base model that is one of our own trained methods is looked at too.

    Raises:
        UserError: a method, or the base model, was trained on these tasks, on others than its folder says, or on nobody
            knows what and `unknown_provenance` does not allow it.
    """
    held_out = run.split != "meta_train"
    base = Path(run.backbone.model)
    saved = {c.label: c.folder for c in contenders if c.folder}
    if (base / CARD).is_file() and len(saved) < len(contenders):
        saved[f"the base model {base}"] = base
    for folder in saved.values():
        check_held_out(folder, data, held_out)
    unknown = {label: folder for label, folder in saved.items() if read_training(folder) is None}
    if unknown and held_out and run.unknown_provenance == "refuse":
        fix = "Train it again, or add --unknown_provenance allow, which marks the results."
        raise unknown_training(" and ".join(unknown), next(iter(unknown.values())), fix)
    return list(unknown)
