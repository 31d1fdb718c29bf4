"""Where tasks come from. `open_suite` finds the source by the form of its name; a source is one file here.

    embedded                     the built-in suite
    FOLDER                       the local layout (docs/data.md)
    metaicl:FOLDER               another layout, by its scheme (`SCHEMES`); what follows the colon is the source's own
    package.module:function      a function of one's own that returns a `TaskSuite`

A source of one's own needs no entry: `package.module:function` names a callable that returns a `TaskSuite`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from operator import ge
from pathlib import Path, PurePath
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.idle import refuse_idle
from task_suites.core.ranges import Natural, check_ranges
from task_suites.example import FORMS, Example
from task_suites.task import Task, TaskSuite

BUILT_IN = {"embedded": "task_suites.sources.embedded:open_embedded"}
MIN_TRAIN, MIN_TEST = 40, 8  # of a task that lost examples to `max_words`, where no minimum is given
_HERE = "task_suites.sources."
SCHEMES = {  # scheme -> a function of what follows the colon
    "arrow": "task_suites.store:open_store",
    "metaicl": _HERE + "metaicl_folder:open_metaicl",
    "crossfit": _HERE + "metaicl_folder:open_crossfit",
    "ict": _HERE + "in_context_tuning:open_in_context_tuning",
    "natural-instructions": _HERE + "natural_instructions:open_natural_instructions",
    "big-bench": _HERE + "big_bench:open_big_bench",
    "bbh": _HERE + "big_bench:open_big_bench_hard",
    "conll": _HERE + "conll:open_conll",
    "lm-eval": _HERE + "lm_eval_yaml:open_lm_eval",
    "hf": _HERE + "hub:open_hub",
    "table": _HERE + "table:open_table",
    "tasksource": _HERE + "tasksource:open_tasksource",
}


def load_named(name: str) -> Any:
    """Return the object that `package.module:Name` names; the working folder is searched too.

    Raises:
        UserError: there is no such module or no such name in it.
    """
    module_name, _, attribute = name.partition(":")
    if not all((*module_name.split("."), attribute)):
        raise UserError(f"{name!r} does not name a Python object", expected="package.module:Name")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        path = PurePath(module_name)
        is_file = path.suffix == ".py" or len(path.parts) > 1
        fix = f"Name the module, not its file: {'.'.join(path.with_suffix('').parts)}:{attribute}" if is_file else None
        raise UserError(f"{name}: {error}", expected="package.module:Name, importable from here", fix=fix) from None
    if not hasattr(module, attribute):
        raise UserError(f"module {module_name} has no {attribute!r}", fix=nearest(attribute, vars(module)))
    return getattr(module, attribute)


def open_suite(name: str) -> TaskSuite:
    """Return the suite that a name means (module docstring), with the sides that it has itself.

    Raises:
        UserError: nothing answers to the name, or what does is not a `TaskSuite`.
    """
    scheme, colon, rest = name.partition(":")
    if colon and scheme in SCHEMES:
        return load_named(SCHEMES[scheme])(rest)  # type: ignore[no-any-return]
    if name in BUILT_IN or (colon and not Path(name).exists()):
        if colon and not rest.isidentifier():
            form = "SOURCE:LOCATION or package.module:function"
            raise UserError(f"no source {scheme!r}", found=name, expected=form, fix=nearest(scheme, SCHEMES))
        source = load_named(BUILT_IN.get(name, name))
        if not callable(source):
            raise UserError(f"{name} is a {type(source).__name__}", expected="a function that returns a TaskSuite")
        suite = source()
        if not isinstance(suite, TaskSuite):
            raise UserError(f"{name} gave a {type(suite).__name__}", expected="a TaskSuite")
        if not suite.tasks:
            raise UserError(f"suite {suite.name} from {name} has no task", expected="at least one")
        return suite
    from task_suites.sources.local import open_folder

    path = Path(name)
    if not path.exists() and "/" not in name:
        raise UserError(f"no suite {name!r}", fix=f"{nearest(name, BUILT_IN)} Or give a folder of tasks.")
    return open_folder(path)


def is_suite(name: str) -> bool:
    """Return whether a name has the form of a suite's: a built-in one, a folder or file that is there, or something
    with a colon."""
    return name in BUILT_IN or ":" in name or Path(name).exists()


@dataclass(frozen=True)
class SuiteConfig:
    """Which tasks a run uses: those of a suite, or of several together.

    Attributes:
        names: one or more suites, whose tasks are joined (docs/mixtures.md). A name is the built-in suite ("embedded"),
            a folder (docs/data.md), SOURCE:LOCATION or `package.module:function`.
        max_words: leave out examples whose input has more words; 0 keeps all. No text is ever cut.
        min_train: with max_words: leave out tasks with fewer train examples. Unset: 40, for tasks that lost some.
        min_test: with max_words: leave out tasks with fewer test examples. Unset: 8, for tasks that lost some.
        forms: keep tasks whose examples have one of these forms: options, text, tags.
        tasks: keep only these tasks, by name or as SUITE/TASK. Unset: all.
        exclude: leave out these tasks, by name or as SUITE/TASK.
        split: a file of `metaicl suites split`, or a setting of MetaICL, whose sides replace those of the suites.
        allow: sources, families or tasks that may be on two sides of the split.
    """

    names: list[str] = field(default_factory=lambda: ["embedded"])
    max_words: Natural = 0
    min_train: Natural | None = None
    min_test: Natural | None = None
    forms: list[str] = field(default_factory=lambda: list(FORMS))
    tasks: list[str] = field(default_factory=list)
    exclude: list[str] = field(default_factory=list)
    split: str = ""
    allow: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_ranges(self)
        if isinstance(self.names, str) or not self.names:
            raise UserError(f"suite must be a list of suites, such as ['embedded'], but is {self.names!r}")
        labels = [_label(name) for name in self.names]
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise UserError("a suite is named twice", found=twice[0], fix="Name it once.")
        for form in self.forms:
            if form not in FORMS:
                raise UserError(f"forms: unknown form {form!r}", fix=nearest(form, FORMS))

    def open(self) -> tuple[TaskSuite, str | None]:
        """Return the tasks as one suite, checked for leaks across the meta-split, and a sentence on what was left out.

        Raises:
            UserError: see `choose`; or meta-training tasks hold held-out examples; or no task is left.
        """
        several = len(self.names) > 1
        refuse_idle(self, ["allow"], "split_file or several suites", used=bool(self.split) or several)
        suite, note = self.choose().prepared()
        suite.assert_no_leak()
        suite, shortened = self.shorten(suite)
        return suite, " ".join(filter(None, (note, shortened))) or None

    def choose(self) -> TaskSuite:
        """Return the tasks that the names, `tasks`, `exclude`, `split` and `forms` choose, as one suite.

        Examples are read only where `forms` are chosen.

        Raises:
            UserError: see `open_suite`, `merge` and `apply`; or a task that no suite has, or no task is left.
        """
        from task_suites.mixture import merge

        opened = {_label(name): open_suite(name) for name in self.names}
        known = {task for suite in opened.values() for task in suite.tasks}
        qualified = {f"{name}/{task}" for name, suite in opened.items() for task in suite.tasks}
        for task in (*self.tasks, *self.exclude):
            if task not in known | qualified:
                where = f"suite {'+'.join(suite.name for suite in opened.values())}"
                raise UserError(f"{where} has no task {task!r}", fix=nearest(task, known))
        chosen = {name: self._chosen(name, suite) for name, suite in opened.items()}
        if self.split:
            from task_suites.split_files import load_split
            from task_suites.splits import apply

            pool = merge({name: replace(suite, splits={}) for name, suite in chosen.items()})
            suite = apply(pool, load_split(self.split).without(known - pool.tasks.keys()), self.allow)
        else:
            suite = merge(chosen, self.allow)
        if set(self.forms) != set(FORMS):
            suite = suite.replace_tasks(lambda task: task if task.form in self.forms else None)
        if not suite.tasks:
            fix = "Allow more forms or tasks, or leave out fewer by exclude."
            raise UserError(f"suite {suite.name}: no task is left", fix=fix)
        return suite

    def _chosen(self, name: str, suite: TaskSuite) -> TaskSuite:
        """Return a suite with those of its tasks that `tasks` and `exclude` choose."""

        def wanted(task: Task) -> Task | None:
            names = {task.name, f"{name}/{task.name}"}
            kept = not self.tasks or not names.isdisjoint(self.tasks)
            return task if kept and names.isdisjoint(self.exclude) else None

        return suite.replace_tasks(wanted)

    def shorten(self, suite: TaskSuite) -> tuple[TaskSuite, str | None]:
        """Return the suite without examples of more than `max_words`, and a sentence on what was left out.

        Raises:
            UserError: no task has enough examples left.
        """
        return _shortened(suite, self) if self.max_words else (suite, None)


def _label(name: str) -> str:
    """Return the name that errors and weights call a suite by: the one that was given, without a slash at its end."""
    return name.rstrip("/") or name


def _shortened(suite: TaskSuite, config: SuiteConfig) -> tuple[TaskSuite, str | None]:
    """Return the suite without its long examples, and without the tasks of which too few are left."""

    def short(example: Example) -> bool:
        return len(example.text.split()) <= config.max_words

    def sizes(task: Task) -> tuple[int, int]:
        return len(task.examples("train")), len(task.examples("test"))

    left = {task.name: (_count(task, "train", short), _count(task, "test", short)) for task in suite.tasks.values()}

    def enough(task: Task) -> Task | None:
        defaults = (0, 0) if left[task.name] == sizes(task) else (MIN_TRAIN, MIN_TEST)
        return task if all(map(ge, left[task.name], _minima(config, defaults))) else None

    kept = suite.replace_tasks(enough)
    minima = _minima(config, (MIN_TRAIN, MIN_TEST))
    if not kept.tasks:
        reachable = any(all(map(ge, sizes(task), _minima(config, (0, 0)))) for task in suite.tasks.values())
        raise UserError(
            f"suite {suite.name}: no task has enough examples of at most {config.max_words} words",
            expected=f"{minima[0]} for train and {minima[1]} for test",
            fix="Raise max_words, or lower min_train and min_test." if reachable else "Lower min_train and min_test.",
        )
    gone = sorted(set(suite.tasks) - set(kept.tasks))
    before = sum(sum(sizes(task)) for task in kept.tasks.values())
    after = sum(sum(left[name]) for name in kept.tasks)
    if after == before and not gone:
        return suite, None
    note = f"{before - after} of {before} examples have inputs of more than {config.max_words} words and were left out"
    if gone:
        note += f"; so were the tasks {', '.join(gone)}, of which too few examples remained"
    return kept.replace_tasks(lambda t: t.keep(short)), note + "."


def _count(task: Task, part: str, condition: Callable[[Example], bool]) -> int:
    return sum(map(condition, task.examples(part)))


def _minima(config: SuiteConfig, defaults: tuple[int, int]) -> tuple[int, int]:
    """Return how many train and test examples a task must have: as given, else the defaults."""
    given = (config.min_train, config.min_test)
    train, test = (default if value is None else value for value, default in zip(given, defaults, strict=True))
    return train, test


@dataclass(frozen=True)
class OpenedSuite(TaskSuite):
    """A suite that knows what opened it, so that a run can record how to open it again.

    Attributes:
        config: the options that it was opened by. A suite with other tasks (`replace_tasks`) does not have them.
    """

    config: SuiteConfig = field(default_factory=SuiteConfig)

    def replace_tasks(self, change: Callable[[Task], Task | None]) -> TaskSuite:
        return TaskSuite(self.name, self.tasks, self.splits, self.description).replace_tasks(change)
