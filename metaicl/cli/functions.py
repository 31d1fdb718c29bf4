"""The commands as functions: what `metaicl train` does with flags, `metaicl.train` does with arguments.

    suite = metaicl.load_suite("embedded")
    run = metaicl.train(suite, method="metaicl", max_steps=100, output_dir="runs/mine")
    results = metaicl.evaluate(suite, methods=["icl", "finetune", run], k=[4, 16])

Names, defaults and errors are those of the command line: both come from one configuration (`task_suites.core.flat`).
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from eval.config import EvaluateRun
from metaicl.inference.config import PredictRun
from metaicl.training.config import TrainRun, suite_section
from task_suites.core.errors import UserError
from task_suites.core.flat import build, flat, options_of
from task_suites.sources import OpenedSuite, SuiteConfig
from task_suites.task import TaskSuite

if TYPE_CHECKING:
    from eval.results import Results
    from metaicl.training.finished import Run

Config = TypeVar("Config")
Function = TypeVar("Function", bound=Callable[..., Any])


def _with_options_of(config: type) -> Callable[[Function], Function]:
    """Show a configuration's options in a function's signature; they are its keyword arguments."""

    def shown(function: Function) -> Function:
        own = [p for p in inspect.signature(function).parameters.values() if p.kind is not p.VAR_KEYWORD]
        named = {p.name for p in own}
        more = [
            inspect.Parameter(o.name, inspect.Parameter.KEYWORD_ONLY, default=o.default, annotation=o.hint)
            for o in options_of(config).values()
            if o.name not in named
        ]
        function.__signature__ = inspect.Signature([*own, *more])  # type: ignore[attr-defined]
        return function

    return shown


@dataclass(frozen=True)
class _Tasks:
    """The options that say which tasks a command uses.

    Attributes:
        suite: tasks
    """

    suite: SuiteConfig = suite_section()


@_with_options_of(_Tasks)
def load_suite(suite: str | Sequence[str] = "embedded", **options: Any) -> TaskSuite:
    """Return a suite of tasks, or several joined, checked for leaks across its sides.

    Args:
        suite: a built-in suite ("embedded"), a folder (docs/data.md), SOURCE:LOCATION, `package.module:function`, or
            several of them.
        options: `max_words`, `forms`, `tasks`, `exclude`, `split_file` and the others of the command line.

    Raises:
        UserError: there is no such suite, it cannot be read, or held-out examples lie in meta-training tasks.
    """
    names = [suite] if isinstance(suite, str) else list(suite)
    config = build(_Tasks, {"suite": names, **options}).suite
    opened, _ = config.open()
    return OpenedSuite(opened.name, opened.tasks, opened.splits, opened.description, config)


@_with_options_of(TrainRun)
def train(
    suite: str | Sequence[str] | TaskSuite = "embedded",
    *,
    method: str = "metaicl",
    model: str = "smollm2-135m",
    output_dir: str | os.PathLike[str] = "",
    **options: Any,
) -> Run:
    """Meta-train one method on a suite's meta-training tasks and return the run.

    Args:
        suite: a suite, or its name. One from `load_suite` is recorded with the options that opened it, so that the
            config.yaml of the run trains it again; any other object is recorded by its name and its fingerprints.
        method: a name of `metaicl methods list`, or `package.module:Name`.
        model: a base model: a name of `metaicl models list`, a local folder or a hub name.
        output_dir: the run's folder. Unset: runs/NAME.
        options: every other option of `metaicl train`, by its name.

    Raises:
        UserError: an option is unknown or wrong, or the folder holds another run.
    """
    given = {"method": method, "model": model, "output_dir": os.fspath(output_dir), **options}
    return run_training(*_configured(TrainRun, suite, given))


def run_training(config: TrainRun, suite: TaskSuite | None = None) -> Run:
    """Meta-train by a configuration; `suite` is the one that it names, where it is open."""
    from eval.answering import make_validate
    from metaicl.training.finished import Run
    from metaicl.training.idle_options import refuse_idle_training
    from metaicl.training.run import train_run

    refuse_idle_training(config)
    if config.plan:
        from metaicl.training.plan import training_plan

        opened = suite or config.suite.open()[0]
        print(training_plan(config, opened, config.plan, config.plan_tflops).table())
        return Run(config.folder)
    train_run(config, make_validate, suite=suite)
    return Run(config.folder)


@_with_options_of(EvaluateRun)
def evaluate(
    suite: str | Sequence[str] | TaskSuite = "embedded",
    *,
    methods: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = ("random", "majority", "zero_shot", "icl"),
    **options: Any,
) -> Results:
    """Compare methods on the tasks of one meta-split and return the results.

    Args:
        suite: a suite, or its name.
        methods: names of methods that need no meta-training, `package.module:Name`, runs or their folders; a single
            one needs no list.
        options: every other option of `metaicl evaluate`, by its name.

    Raises:
        UserError: an option is unknown or wrong, or a method was trained on the tasks.
    """
    several = [methods] if isinstance(methods, str | os.PathLike) else methods
    given = {"methods": [os.fspath(method) for method in several], **options}
    return run_evaluation(*_configured(EvaluateRun, suite, given))


def run_evaluation(config: EvaluateRun, suite: TaskSuite | None = None, command: str = "") -> Results:
    """Compare by a configuration.

    Args:
        suite: the one that the configuration names, where it is open.
        command: the command line that makes the results again; by default the one with the run's `config.yaml`.
    """
    from eval.evaluate import evaluate_run

    return evaluate_run(config, suite=suite, command=command)


@_with_options_of(PredictRun)
def predict(demos: str | os.PathLike[str], inputs: str | os.PathLike[str], **options: Any) -> Iterator[dict[str, Any]]:
    """Answer a file of inputs from a file of demonstrations: yield each input with its `answer` and `scores`.

    Args:
        demos: JSON lines with answers (docs/python.md).
        inputs: JSON lines without answers.
        options: every other option of `metaicl predict`, by its name.

    Raises:
        UserError: a line of a file or an option is wrong.
    """
    return run_prediction(build(PredictRun, {"demos": Path(demos), "inputs": Path(inputs), **options}))


def run_prediction(config: PredictRun, note: Callable[[str], None] = lambda text: None) -> Iterator[dict[str, Any]]:
    """Answer by a configuration; `note` gets what the demonstrations were taken for, where that is not plain."""
    from metaicl.inference.predicting import predicted

    yield from predicted(config, note)


def _configured(
    cls: type[Config], suite: str | Sequence[str] | TaskSuite, given: Mapping[str, Any]
) -> tuple[Config, TaskSuite | None]:
    """Return (the configuration, the suite where it is an object).

    A suite from `load_suite` is opened again where further options choose among its tasks.

    Raises:
        UserError: an option that chooses tasks is given with a suite that was not opened by its name.
    """
    named = {name: value for name, value in given.items() if value is not MISSING}
    if not isinstance(suite, TaskSuite):
        return build(cls, {"suite": [suite] if isinstance(suite, str) else suite, **named}), None
    if late := sorted(options_of(_Tasks).keys() & named.keys()):
        if isinstance(suite, OpenedSuite):
            return build(cls, {**flat(_Tasks(suite.config)), **named}), None
        what = f"{late[0]} chooses tasks of a suite that is opened by its name, but {suite.name} was made in Python"
        fix = "Leave tasks out of the object: suite.replace_tasks(lambda task: task if task.name in NAMES else None)."
        raise UserError(what, fix=fix)
    config: Any = build(cls, {"suite": [suite.name], **named})
    return (replace(config, suite=suite.config) if isinstance(suite, OpenedSuite) else config), suite
