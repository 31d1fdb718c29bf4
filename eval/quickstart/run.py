"""`metaicl quickstart`: from nothing to a comparison on unseen tasks within ten minutes, each finished step kept.

A few real steps are timed, and the largest size (eval/quickstart/sizes.py) that fits is chosen. The training comes
first, since it cannot be cut once it has begun. The comparison then grows from the smallest size to the chosen one, as
long as the time suffices: a machine that becomes slower in between gets a smaller comparison, which is one of the sizes
too. Fine-tuning comes last, one cell after the other. What was done is written into the configuration, which
repeats the numbers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cache

from tqdm import tqdm

from eval.contenders import Contender, train_once
from eval.evaluate import run_all
from eval.fingerprints import training_print
from eval.quickstart.config import QuickstartRun
from eval.quickstart.plan import RESERVE, Choice, Clock, chosen, kept_plan
from eval.quickstart.report import Summary, concluded, finished
from eval.quickstart.sizes import SAFETY
from eval.quickstart.work import Setting, Work
from metaicl.lm import models
from metaicl.lm.devices import with_precision
from metaicl.lm.pulling import pull
from metaicl.methods import method_class
from metaicl.training.config import TrainRun
from metaicl.training.folders import held
from metaicl.training.progress_bars import no_bar
from metaicl.training.run import check_base_model, duration, write_config
from task_suites.core.errors import counted
from task_suites.core.flat import flat
from task_suites.provenance import data_record


def quickstart(run: QuickstartRun, began: float | None = None) -> Summary:
    """Run the story; the last line printed is JSON where `run.json` is set. The summary is returned.

    Args:
        began: the monotonic clock when the command began; None for now.
    """
    clock = Clock(run.seconds, time.monotonic() if began is None else began)
    if run.backbone.model in models.MODELS:
        before = time.monotonic()
        pull(run.backbone.model, say=print)
        clock.started += time.monotonic() - before
    suite, note = run.suite.open()
    check_base_model(run.backbone.model, data_record(suite.split("meta_test")))
    setting = Setting(replace(run, backbone=with_precision(run.backbone)), suite)
    with held(setting.folder):
        summary = _told(setting, clock, note)
    if run.json:
        print(json.dumps(asdict(summary)))
    return summary


def _told(setting: Setting, clock: Clock, note: str | None) -> Summary:
    """Choose a size, train, compare and report; the summary is returned."""
    kept = kept_plan(setting.run, setting.folder)
    clock.before = kept.before
    kept.write(setting.folder)
    _introduce(setting, note)
    choice = chosen(setting, clock, kept)
    kept.size = choice.work.name
    kept.write(setting.folder)
    write_config(setting.folder / "config.yaml", flat(choice.work.run))
    _announce(choice, clock, begun=kept.final)
    kept.final = True
    kept.write(setting.folder)
    trained = _trained(choice)
    work = _compared(choice, clock, [*setting.untrained, *trained], kept.evaluated)
    tuned = _finetuned(choice, work, clock)
    work = replace(work, size=replace(work.size, finetune_cells=sum(made.cells for made in tuned)))
    write_config(setting.folder / "config.yaml", flat(work.run))
    with choice.timings.part("report"):
        results = finished(work, [*setting.untrained, *tuned, *trained], clock, note)
        summary = concluded(choice, work, results, clock)
    kept.evaluated = work.name
    kept.write(setting.folder)
    totals = {name: getattr(summary, name) for name in ("size", "seconds", "estimated_seconds", "estimate_error")}
    choice.timings.write(setting.folder / "timings.json", **totals)
    return summary


def _introduce(setting: Setting, note: str | None) -> None:
    run, suite = setting.run, setting.suite
    print(f"{run.backbone.model} on the suite {suite.name}: meta-training on {len(suite.split('meta_train'))} tasks,")
    print(f"then {run.k} demonstrations of each of some other tasks. A few steps are timed first.")
    if note:
        print(note)


def _announce(choice: Choice, clock: Clock, begun: bool) -> None:
    """Report which size was chosen, how long it takes, and what was cut."""
    work, left = choice.work, choice.estimated_seconds - clock.seconds
    size, cut = work.size, work.setting.run.asked.cut(work.size)
    print(
        f"Size {work.label}: {counted(size.steps, 'training step')}, {counted(len(work.comparison.tasks), 'task')}, "
        f"{counted(size.seeds, 'support set')} a task, in {work.run.backbone.dtype}."
    )
    if cut:
        why = f"to end within {duration(clock.limit)}" if clock.limit else f"in the size {work.name}"
        print(f"Cut {why}: {'; '.join(cut)}.")
    print(f"This takes about {duration(left)} on this machine; finished steps are kept.")
    if choice.rates.guessed:
        print(f"Not timed, for want of time, but guessed: {', '.join(sorted(choice.rates.guessed))}.")
    if left > clock.left:
        why = "the training has begun, so it is finished" if begun else "nothing smaller can be run, so this is"
        print(f"That is more than the {duration(max(0.0, clock.left))} that are left, but {why}.")


def _trained(choice: Choice) -> list[Contender]:
    """Meta-train what is not trained yet; the trained contenders are returned, each of which loads its model once."""
    made = []
    for training in choice.work.trainings:
        with choice.timings.part(f"{training.method} training"):
            made.append(_trained_once(choice.work, training))
    return [replace(one, build=cache(one.build)) for one in made]


def _trained_once(work: Work, training: TrainRun) -> Contender:
    if done := work.trained(training):
        return done
    frozen = method_class(training.method).weights == "frozen"
    shared = work.setting.backbones(training.backbone) if frozen else None  # and the embeddings that it keeps
    return train_once(training, training_print(training, work.setting.suite), work.setting.suite, backbone=shared)


def _compared(choice: Choice, clock: Clock, contenders: Sequence[Contender], known: str | None) -> Work:
    """Compare on the sizes from the smallest to the chosen one while the time suffices; the last that is complete is
    returned.

    Args:
        known: the size at which an earlier start ended: it stays.
    """
    sizes = choice.work.evaluations() if clock.limit is not None else [choice.work]
    names = [work.name for work in sizes]
    sizes = sizes[: names.index(known) + 1] if known in names else sizes  # type: ignore[arg-type]
    done = None
    for work in sizes:
        until = None if done is None or known else clock.left
        if not _filled(choice, work, contenders, until):
            assert done is not None
            print(f"The time left does not suffice for the size {work.name}: compared on the size {done.label}.")
            break
        done = work
    assert done is not None
    run_all(done.comparison, contenders, False)  # every cell is there: the predictions are written
    return done


def _filled(choice: Choice, work: Work, contenders: Sequence[Contender], seconds: float | None) -> bool:
    """Run the cells that a comparison lacks; False where they would take, or take, more than `seconds` (None: never).

    How long they take follows from the times of the cells so far.
    """
    missing = [(made, cell) for made in contenders for cell in work.comparison.unfinished(made)]
    pace, started, longest = choice.pace, time.monotonic(), 0.0
    expected = [choice.cell_seconds(work, made, cell) for made, cell in missing]
    if seconds is not None and sum(expected) * pace.slower > SAFETY * (seconds - RESERVE):
        return False
    with tqdm(
        total=len(missing), desc="evaluating", unit="cell", disable=no_bar(choice.work.run.progress), dynamic_ncols=True
    ) as bar:
        for (made, cell), need in zip(missing, expected, strict=True):
            before = time.monotonic()
            if seconds is not None and before - started + longest > seconds - RESERVE:
                return False
            bar.set_postfix(method=made.name)
            with choice.timings.part(f"{made.name} answers"):
                work.comparison.fill(made, made.build, *cell)
            pace.expected, pace.seconds = pace.expected + need, pace.seconds + time.monotonic() - before
            longest = max(longest, time.monotonic() - before)
            bar.update()
    return True


def _finetuned(choice: Choice, work: Work, clock: Clock) -> list[Contender]:
    """Fine-tune on as many cells as there is time for, or as the user gave.

    It comes last, since only it can be left out without a change of any other number.
    """
    made = choice.work.finetune if work.name == choice.work.name else work.finetune
    if made is None:
        return []
    given = work.setting.run.asked.given
    cells, done = len(work.comparison.plan(made)), 0
    while done < cells:
        part = replace(made, cells=done + 1)
        missing = work.comparison.unfinished(part)
        each = choice.pace.slower * sum(choice.cell_seconds(work, made, cell) for cell in missing)
        if missing and each / SAFETY > clock.left - RESERVE and "finetune_cells" not in given:
            print(f"No time is left to fine-tune on more than {counted(done, 'cell')} of {cells}.")
            break
        with choice.timings.part("finetune answers"):
            run_all(work.comparison, [part], work.run.progress)
        done += 1
    return [replace(made, cells=done)] if done else []
