"""How quick this machine is at the parts of a quickstart, and how long those of one size take by that."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from eval.answering import protocol_episode
from eval.contenders import Contender
from eval.estimate import cells_seconds, kept_rate
from eval.harness import Comparison
from eval.quickstart.sizes import Need
from eval.quickstart.work import FREE, Setting, Work
from metaicl.methods import method_class
from metaicl.methods.base import Method
from metaicl.methods.baselines.finetune import FineTune
from metaicl.training.checkpoint import MethodConfig
from metaicl.training.config import TrainRun
from metaicl.training.estimate import (
    Rate,
    answering_rate,
    first_episodes,
    steps_done,
    steps_seconds,
    timed,
    training_rate,
)
from metaicl.training.identity import Identity, RunRecord, earlier_run, identity_of
from task_suites.formats.prompt_format import PromptFormat
from task_suites.provenance import data_record

TUNED_STEPS = 2  # of fine-tuning, when it is timed
PASSES = 3  # a training step takes about as long as three forward passes
REPORT, REPORT_SECONDS = "report", 3.0  # most of it is drawing


@dataclass
class Rates:
    """How quick this machine is at the parts of a quickstart.

    Attributes:
        loading: seconds of loading the model.
        answering: by method, the rate of its cells.
        begin: by method, the seconds before the first training step.
        step: by method, the mean seconds of a training step.
        identity: by method, what says whether a folder holds its training.
        guessed: what was not timed, but worked out from the slowest answers that were: "NAME answers", "NAME training".
    """

    loading: float = 0.0
    answering: dict[str, Rate] = field(default_factory=dict)
    begin: dict[str, float] = field(default_factory=dict)
    step: dict[str, float] = field(default_factory=dict)
    identity: dict[str, Identity] = field(default_factory=dict)
    guessed: set[str] = field(default_factory=set)

    def to_json(self) -> dict[str, Any]:
        """Return what was timed, for another start on this machine."""
        answering = {name: asdict(r) for name, r in self.answering.items() if f"{name} answers" not in self.guessed}
        step = {name: seconds for name, seconds in self.step.items() if f"{name} training" not in self.guessed}
        return {"loading": self.loading, "answering": answering, "step": step}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Rates:
        """Return what `to_json` gave; an empty object is of a machine that was not timed."""
        answering = {name: Rate(**rate) for name, rate in value.get("answering", {}).items()}
        return cls(value.get("loading", 0.0), answering, step=dict(value.get("step", {})))

    def guess(self, part: str, times: int = 1) -> Rate:
        """Return this many times the slowest rate of answering, and note that a part was not timed."""
        self.guessed.add(part)
        slowest = max(self.answering.values(), key=lambda rate: rate.seconds([1000]), default=Rate())
        return Rate(times * slowest.fixed, times * slowest.per_token)


Timing = Callable[[str], bool]  # called with a part's name before it is timed; False where no time is left for it


def measured(setting: Setting, known: Rates, may_time: Timing = lambda part: True) -> Rates:
    """Return this machine's rates at whatever is not finished under some size. Cells that are run for it are kept, and
    are chosen among those that belong to all sizes.

    Args:
        known: what an earlier start timed, which is not timed again.
    """
    rates, works = replace(known), setting.works()
    setting.backbones(replace(setting.run.backbone, weights="frozen"))
    if not known.loading:
        before = time.monotonic()
        setting.backbones(setting.run.backbone)  # the second one is free of imports, as later ones are
        rates.loading = time.monotonic() - before
    smallest, cold = works[-1].comparison, True
    for made in setting.untrained:
        if made.name in FREE or not any(work.comparison.unfinished(made) for work in works):
            continue
        if made.name not in rates.answering:
            part = f"{made.name} answers"
            if not may_time(part) and rates.answering:
                rates.answering[made.name] = rates.guess(part)
                continue
            rates.answering[made.name] = kept_rate(smallest, made, made.build(), warm_up=cold)
            cold = False
    for training in works[0].trainings:
        done = [work.trained(work.training(training.method)) for work in works]
        if None in done:
            _measure_training(rates, works, training, may_time)
        unfinished = [m is None or work.comparison.unfinished(m) for m, work in zip(done, works, strict=True)]
        if any(unfinished) and training.method not in rates.answering:
            part = f"{training.method} answers"
            timed_here = may_time(part) or not rates.answering
            rate = _answering(smallest, _built(setting, training)) if timed_here else rates.guess(part)
            rates.answering[training.method] = rate
    return rates


def measure_finetune(
    setting: Setting, rates: Rates, works: Sequence[Work], may_time: Timing = lambda part: True
) -> None:
    """Measure fine-tuning too, where some of the sizes have cells of it that are not finished."""
    needed = any(work.finetune and work.comparison.unfinished(work.finetune) for work in works)
    if needed and "finetune" not in rates.answering:
        if may_time("finetune answers"):
            rates.answering["finetune"] = _tuning_rate(setting, works[-1].comparison)
        else:
            rates.answering["finetune"] = rates.guess("finetune answers", PASSES * FineTune.Config().steps)


def _built(setting: Setting, training: TrainRun) -> Method:
    config = MethodConfig(training.method, training.method_options, training.backbone, PromptFormat())
    return config.build(setting.backbones(training.backbone))


def _measure_training(rates: Rates, works: Sequence[Work], training: TrainRun, may_time: Timing) -> None:
    setting, name = works[0].setting, training.method
    started = time.monotonic()
    data = data_record(setting.suite.tasks.values())
    rates.identity[name] = identity_of(training, setting.suite, data)
    rates.begin[name] = time.monotonic() - started
    if name in rates.step:
        return
    method = _built(setting, training)
    served = [task for task in setting.suite.split("meta_train") if method.refusal(task) is None]
    episodes = first_episodes(served, training.trainer)
    frozen = method_class(name).weights == "frozen"  # it runs the model forward only, which is warm
    part = f"{name} training"
    timed_here = may_time(part) or not rates.answering
    rate = training_rate(method, episodes, warm_up=not frozen) if timed_here else rates.guess(part, PASSES)
    rates.step[name] = steps_seconds(rate, [method.tokens(e) for e in episodes], training.trainer, 1)


def _answering(comparison: Comparison, method: Method) -> Rate:
    tasks = [task for task in comparison.tasks if method.refusal(task) is None]
    return answering_rate(
        method,
        [
            protocol_episode(comparison.protocol, task, 0, k, comparison.others)
            for task in tasks
            for k in comparison.protocol.k
        ],
    )


def _tuning_rate(setting: Setting, comparison: Comparison) -> Rate:
    """Return the rate of fine-tuning by all its steps, from a few of them."""
    config = FineTune.backbone_config(setting.run.backbone)
    method = FineTune.build(setting.backbones(config), PromptFormat(), {"steps": TUNED_STEPS})
    steps = FineTune.Config().steps
    task = comparison.tasks[len(comparison.tasks) // 2]
    episode = protocol_episode(comparison.protocol, task, 0, max(comparison.protocol.k), comparison.others)
    seconds = timed([(1, lambda: method.adapt(task, episode.support))]).seconds([1])
    return Rate(0.0, seconds * steps / TUNED_STEPS / method.tokens(episode))


def parts(work: Work, rates: Rates) -> dict[str, float]:
    """Return the seconds that each part of the work should take that is not finished."""
    return {**_training_parts(work, rates), **_answer_parts(work, rates), REPORT: REPORT_SECONDS}


def need(work: Work, rates: Rates) -> Need:
    """Return the seconds that the work should take, all of it and what cannot be cut later."""
    smallest = work.evaluations()[0]
    core = sum(_training_parts(work, rates).values()) + sum(_answer_parts(smallest, rates, tuned=False).values())
    return Need(sum(parts(work, rates).values()), core + REPORT_SECONDS)


def _training_parts(work: Work, rates: Rates) -> dict[str, float]:
    found = {}
    for training in work.trainings:
        if work.trained(training) is None:
            name = training.method
            loading = 0.0 if method_class(name).weights == "frozen" else rates.loading
            steps = training.trainer.resolved().max_steps - _steps_done(training, rates.identity[name])
            found[f"{name} training"] = rates.begin[name] + loading + rates.step[name] * steps
    return found


def _steps_done(training: TrainRun, identity: Identity) -> int:
    """Return the steps that a folder keeps of exactly this training."""
    resolved = training.trainer.resolved()
    now = {**identity, "max_steps": resolved.max_steps, "warmup_steps": resolved.warmup_steps}
    return steps_done(training.folder) if isinstance(earlier_run(training.folder, now), RunRecord) else 0


def _answer_parts(work: Work, rates: Rates, tuned: bool = True) -> dict[str, float]:
    found, setting = {}, work.setting
    for made in (*setting.untrained, *filter(None, [work.finetune if tuned else None])):
        if made.name in rates.answering:
            found[f"{made.name} answers"] = cells_seconds(
                work.comparison, made, made.build(), rates.answering[made.name]
            )
    for training in work.trainings:
        name = training.method
        made = work.trained(training) or Contender(name, name, _builder(setting, training), "not trained yet")
        rate = rates.answering.get(name, Rate())
        seconds = cells_seconds(work.comparison, made, _built(setting, training), rate)
        loading = rates.loading if seconds and method_class(name).weights != "frozen" else 0.0
        found[f"{name} answers"] = seconds + loading
    return found


def _builder(setting: Setting, training: TrainRun) -> Callable[[], Method]:
    return lambda: _built(setting, training)
