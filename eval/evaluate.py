"""The evaluate command: contenders from their names, the comparison, results.json and the report."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from eval.agreement import agreement, harness_version
from eval.config import CALIBRATED, EvaluateRun
from eval.contenders import Backbones, Contender, contender, distinct, name_meant
from eval.earlier_results import begin_again, check_replaced
from eval.estimate import comparison_seconds
from eval.harness import Comparison
from eval.lineage import write_lineage
from eval.method_on_model import named
from eval.pooling import several_trainings, trainings_pooled
from eval.processes import Processes
from eval.prompts import write_prompts
from eval.report.page import write_report
from eval.report.texts import table
from eval.results import Results, Roles
from metaicl.lm.devices import with_precision
from metaicl.lm.released import method_folder
from metaicl.methods import method_class
from metaicl.training.checkpoint import CARD, read_training
from metaicl.training.folders import one_process
from metaicl.training.identity import RUN
from metaicl.training.progress_bars import no_bar
from metaicl.training.run import (
    check_data,
    check_held_out,
    duration,
    unknown_training,
    write_config,
)
from task_suites.core.errors import UserError, counted, nearest
from task_suites.core.flat import flat
from task_suites.core.idle import defaults_of, refuse_idle
from task_suites.formats.prompt_format import PromptFormat
from task_suites.provenance import Record, data_record
from task_suites.task import Task, TaskSuite


def run_all(comparison: Comparison, contenders: Sequence[Contender], progress: bool) -> None:
    """Run every contender through the comparison, with one progress bar."""
    from tqdm import tqdm

    total = sum(len(comparison.plan(c)) for c in contenders)
    with tqdm(total=total, desc="evaluating", unit="cell", disable=no_bar(progress), dynamic_ncols=True) as bar:

        def begin(contender: Contender) -> Callable[[], None]:
            bar.set_postfix(method=contender.name)
            return tick

        def tick() -> None:
            bar.update()

        comparison.run_all(contenders, begin)


def finish(
    ran: Comparison, contenders: Sequence[Contender], form: PromptFormat, pool_runs: bool = False, **header: Any
) -> Results:
    """Write results.json, the prompts, the lineage and the report into the comparison's folder; the results are
    returned, with the trainings of each method as one where `pool_runs` says so."""
    results = replace(ran.results(contenders, **header), folder=ran.folder)
    if pool_runs:
        results = trainings_pooled(results)
    results.write(ran.folder)
    write_prompts(ran, contenders, form, results)
    write_lineage(ran.folder, contenders, ran.tasks)
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
    """Raise where an option was given that none of the methods reads, or that cannot be followed here."""
    if run.check_with:
        harness_version()  # it is missed now rather than after the comparison
    if (run.folder / RUN).is_file():
        raise UserError(f"{run.folder} holds a training", fix="Give the comparison another --output_dir.")
    methods = named(run.methods)
    for one in methods:
        method_class(one.method).configured(run.method_options.get(one.given, {})).check_idle(one.given)
    on_encoder = [one.needs_encoder(run.backbone.model) for one in methods]
    refuse_idle(run, ["encoder"], "a method that needs a sentence encoder", used=any(on_encoder))
    if not methods:
        needs = "a method that is not loaded from a folder"
        refuse_idle(run.backbone, [f.name for f in fields(run.backbone)], needs)
        refuse_idle(run.format, [f.name for f in fields(run.format)], needs, "format.")
    protocol = run.protocol
    refuse_idle(protocol, ["curve_seeds"], "several numbers in k", used=len(protocol.k) > 1)
    refuse_idle(run, ["pool_runs"], "several folders of runs", used=len(run.methods) - len(methods) > 1)


@one_process
def evaluate_run(
    run: EvaluateRun, say: Callable[[str], None] = print, suite: TaskSuite | None = None, command: str = ""
) -> Results:
    """Compare methods on one meta-split and leave predictions, results and report in the run's folder.

    The processes of a launch share the cells out; all of them return the results.

    Args:
        suite: the one that `run.suite` opens, where the caller has it open.
        command: the command line that makes the results again; by default the one with the run's `config.yaml`.
    """
    started, processes = time.monotonic(), Processes.of_launch()
    say = say if processes.is_main else lambda text: None
    check_methods(run)
    check_given(run)
    run = replace(run, backbone=with_precision(run.backbone))  # what ran is what the configuration says
    suite, note = (suite, None) if suite else run.suite.open()
    tasks = suite.split(run.split)
    data = data_record(tasks)
    contenders, unknown = _contenders(run, data)
    comparison = _comparison(run, tasks, data, contenders, processes, say)
    if processes.is_main:
        write_config(run.folder / "config.yaml", flat(run), data)
    _announce(run, comparison, contenders, suite.name, note, say)
    run_all(comparison, contenders, run.progress and processes.is_main)
    if not processes.is_main:
        return processes.results(run.folder)
    results = finish(
        comparison,
        contenders,
        run.format,
        pool_runs=run.pool_runs,
        name=run.run_name or run.folder.name,
        command=command or f"metaicl evaluate --config {shlex.quote(str(run.folder / 'config.yaml'))}",
        seconds=time.monotonic() - started,
        about={"suite": suite.name, "backbone": asdict(run.backbone), "tasks": data},
        filtered=note,
        comparison=_roles(run, contenders),
        notes=[f"{label}: nothing says what it was trained on; tasks may not be new to it." for label in unknown],
    )
    say(table(results))
    _check_with(run, tasks, say)
    say(f"Report: {run.folder / 'report.html'}")
    processes.end()
    return results


def _roles(run: EvaluateRun, contenders: Sequence[Contender]) -> Roles:
    """Return what the report compares: raw in-context learning with calibration is a second baseline, where it is."""
    method, baseline = (name_meant(given, contenders) for given in (run.highlight, run.baseline))
    calibrated = {c.name for c in contenders} & {CALIBRATED} - {method, baseline}
    return Roles(method, baseline, next(iter(calibrated), None))


def _comparison(
    run: EvaluateRun,
    tasks: list[Task],
    data: Record,
    contenders: Sequence[Contender],
    processes: Processes,
    say: Callable[[str], None],
) -> Comparison:
    """Return the comparison in the run's folder: the one that was begun there, or a new one.

    Raises:
        UserError: the tasks there had other data, or the results there are of another comparison.
    """
    if not run.resume:
        if processes.is_main and (line := begin_again(run.folder)):
            say(line)
        processes.meet()  # the others wait for a free folder
    check_data(run.folder, data)
    comparison = Comparison(tasks, run.protocol, run.folder, processes)
    check_replaced(comparison, contenders)
    return comparison


def _announce(
    run: EvaluateRun,
    comparison: Comparison,
    contenders: Sequence[Contender],
    suite: str,
    note: str | None,
    say: Callable[[str], None],
) -> None:
    """Report what is compared and, where it is over a minute, how long it takes."""
    say(
        f"{counted(len(contenders), 'method')} on {counted(len(comparison.tasks), 'task')} of {suite} ({run.split}), "
        f"{counted(run.protocol.seeds, 'support set')} a task, k {run.protocol.k}"
    )
    if note:
        say(note)
    if comparison.processes.count > 1:  # they would measure the same cells
        return
    estimate = comparison_seconds(comparison, contenders)
    if estimate > 60:
        say(f"  about {duration(estimate)} on this machine (measured on a few cells of each method, which are kept)")


def _check_with(run: EvaluateRun, tasks: Sequence[Task], say: Callable[[str], None]) -> None:
    """Compare with another harness, where that is wanted."""
    if run.check_with:
        found = agreement(tasks, run.protocol, run.backbone)
        found.write(run.folder)
        say(found.sentence())


def _contenders(run: EvaluateRun, data: Record) -> tuple[list[Contender], list[str]]:
    """Return (what is compared, the labels of those of which nothing says what they were trained on).

    Raises:
        UserError: what `contender`, `distinct` and `_check_provenance` raise, `highlight` or `baseline` names none of
            the methods, or no method has several trainings to pool.
    """
    backbones, options = Backbones(), run.method_options
    made = [
        contender(name, run.backbone, run.format, backbones, options.get(name), encoder=run.encoder)
        for name in run.methods
    ]
    contenders = distinct(made)
    for role in ("highlight", "baseline"):
        given, names = getattr(run, role), [c.name for c in contenders]
        if name_meant(given, contenders) not in names and given != defaults_of(run)[role]:
            raise UserError(f"{role} names none of the compared methods", found=given, fix=nearest(given, names))
    unknown = _check_provenance(run, contenders, data)
    if run.pool_runs:
        several_trainings(contenders)  # it is missed now rather than after the comparison
    return contenders, unknown


def _check_provenance(run: EvaluateRun, contenders: Sequence[Contender], data: Record) -> list[str]:
    """Return the labels of contenders of which nobody knows what they were trained on.

    A base model that is one of our own trained methods is looked at too.

    Raises:
        UserError: a method, or the base model, was trained on these tasks, on others than its folder says, or on nobody
            knows what and `unknown_provenance` does not allow it.
    """
    held_out = run.split != "meta_train"
    saved = {c.label: c.folder for c in contenders if c.folder}
    bases = {c.settings["backbone"]["model"] for c in contenders if not c.folder}
    places = {base: method_folder(base) for base in sorted(bases)}
    saved |= {f"the base model {base}": place for base, place in places.items() if (place / CARD).is_file()}
    for folder in saved.values():
        check_held_out(folder, data, held_out)
    unknown = {label: folder for label, folder in saved.items() if read_training(folder) is None}
    if unknown and held_out and run.unknown_provenance == "refuse":
        fix = "Train it again, or add --unknown_provenance allow, which marks the results."
        raise unknown_training(" and ".join(unknown), next(iter(unknown.values())), fix)
    return list(unknown)
