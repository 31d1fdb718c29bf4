"""What a quickstart leaves: results, report, the headline in the terminal, and the summary that is printed as JSON."""

from __future__ import annotations

import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from eval.config import CALIBRATED
from eval.contenders import Contender
from eval.evaluate import finish
from eval.quickstart.config import QuickstartRun
from eval.quickstart.plan import Choice, Clock
from eval.quickstart.sizes import SizeName
from eval.quickstart.work import Work
from eval.report.texts import table
from eval.results import Results, Roles
from eval.statistics import Gain, gain_interval
from metaicl.training.run import duration
from task_suites.core.errors import counted
from task_suites.core.values import plain
from task_suites.formats.prompt_format import PromptFormat

REPLACED = ("--minutes", "--size", "--max_steps", "--finetune_cells", "--dtype")


@dataclass(frozen=True)
class Summary:
    """What a quickstart found, as its last line has it with `--json`.

    Attributes:
        gain_points: MetaICL's gain over raw in-context learning, in points, with the ends of its 95 % interval.
        gain_over_calibrated: its gain over raw in-context learning with the same calibration, with the ends.
        seconds: what the run took, over all of its starts.
        estimated_seconds: what it was estimated to take before the training began.
        estimate_error: how far the estimate was off, as a share of `seconds`.
        size: the size that was chosen.
        steps: the training steps of MetaICL.
        cut: what that size leaves out.
        methods: the names of the methods that were compared.
        tasks: the number of tasks that they were compared on.
    """

    gain_points: float
    gain_ci_low: float | None
    gain_ci_high: float | None
    gain_over_calibrated: float
    gain_over_calibrated_ci_low: float | None
    gain_over_calibrated_ci_high: float | None
    seconds: float
    estimated_seconds: float
    estimate_error: float
    size: SizeName
    steps: int
    cut: list[str]
    methods: list[str]
    tasks: int


def finished(work: Work, contenders: Sequence[Contender], clock: Clock, note: str | None) -> Results:
    """Write results, prompt and report; the results are returned."""
    setting, training = work.setting, work.trainings[-1]
    return finish(
        work.comparison,
        contenders,
        PromptFormat(),
        name=setting.folder.name,
        command=repeating(work.run, sys.argv[1:]),
        seconds=clock.seconds,
        about={
            "suite": setting.suite.name,
            "backbone": asdict(setting.run.backbone),
            "training": plain(asdict(training)),
            "size": {"name": work.name, **asdict(work.size)},
        },
        filtered=note,
        comparison=Roles("metaicl", "icl", CALIBRATED),
        notes=_notes(work, contenders),
    )


def repeating(run: QuickstartRun, words: Sequence[str]) -> str:
    """Return the command that repeats a run's numbers on any machine, from the words of the one that was given."""
    words = list(words) if list(words[:1]) == ["quickstart"] else ["quickstart"]
    kept, skip = [], False
    for word in words:
        if not skip and word.split("=")[0] not in REPLACED:
            kept.append(word)
        skip = not skip and word in REPLACED
    values = {
        "--size": run.size,
        "--max_steps": run.max_steps,
        "--finetune_cells": run.finetune_cells,
        "--dtype": run.backbone.dtype,
    }
    return "metaicl " + shlex.join([*kept, *(part for name, value in values.items() for part in (name, str(value)))])


def _notes(work: Work, contenders: Sequence[Contender]) -> list[str]:
    size, cut = work.size, work.setting.run.asked.cut(work.size)
    notes = [
        "Held out means held out of this meta-training; what the base model was trained on is not known.",
        f"Size {work.label}: {counted(size.steps, 'training step')}, {counted(size.seeds, 'support set')} a task"
        + (f". Cut: {'; '.join(cut)}." if cut else "."),
    ]
    if any(made.name == "finetune" and made.cells for made in contenders):
        notes.append("Fine-tuning ran on some (task, support set) pairs and is compared on those only.")
    return notes


def concluded(choice: Choice, work: Work, results: Results, clock: Clock) -> Summary:
    """Print the table and the headline, and return the summary."""
    gain, over = _gain(results, "icl"), _gain(results, CALIBRATED)
    seconds = clock.seconds
    print(f"\n{table(results)}\n\nSize {work.label}.")
    print(
        f"MetaICL on {counted(len(results.tasks), 'unseen task')}: {_points(gain)} over raw ICL, "
        f"{_points(over)} over raw ICL with the same calibration"
    )
    print(f"Report: {work.setting.folder / 'report.html'}   ({duration(seconds)} in all)")
    return Summary(
        gain_points=round(gain.mean, 2),
        gain_ci_low=_rounded(gain.low),
        gain_ci_high=_rounded(gain.high),
        gain_over_calibrated=round(over.mean, 2),
        gain_over_calibrated_ci_low=_rounded(over.low),
        gain_over_calibrated_ci_high=_rounded(over.high),
        seconds=round(seconds, 1),
        estimated_seconds=round(choice.estimated_seconds, 1),
        estimate_error=round(abs(choice.estimated_seconds - seconds) / max(seconds, 1e-9), 3),
        size=work.name,
        steps=work.size.steps,
        cut=work.setting.run.asked.cut(work.size),
        methods=[m.name for m in results.methods],
        tasks=len(results.tasks),
    )


def _gain(results: Results, baseline: str) -> Gain:
    """MetaICL's gain over a method on the cells that both have."""
    own, other = (results.cells_of(name, results.headline_k) for name in ("metaicl", baseline))
    return gain_interval(own, other, common=True)


def _points(gain: Gain) -> str:
    interval = "no interval" if math.isnan(gain.low) else f"{gain.low:.1f}, {gain.high:.1f}"
    return f"{gain.mean:+.1f} points [{interval}]"


def _rounded(value: float) -> float | None:
    """Two decimals; None where one task and one support set allow no interval."""
    return None if math.isnan(value) else round(value, 2)
