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
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.idle import refuse_idle
from task_suites.core.ranges import Natural, check_ranges
from task_suites.task import FORMS, Example, Task, TaskSuite

BUILT_IN = {"embedded": "task_suites.sources.embedded:open_embedded"}
_HERE = "task_suites.sources."
SCHEMES = {  # scheme -> a function of what follows the colon
    "arrow": "task_suites.store:open_store",
    "metaicl": _HERE + "metaicl_folder:open_metaicl",
    "crossfit": _HERE + "metaicl_folder:open_crossfit",
    "natural-instructions": _HERE + "natural_instructions:open_natural_instructions",
    "big-bench": _HERE + "big_bench:open_big_bench",
    "bbh": _HERE + "big_bench:open_big_bench_hard",
    "conll": _HERE + "conll:open_conll",
    "lm-eval": _HERE + "lm_eval_yaml:open_lm_eval",
    "hf": _HERE + "hub:open_hub",
    "table": _HERE + "table:open_table",
}


def load_named(name: str) -> Any:
    """The object that `package.module:Name` names; the working folder is searched too.

    Raises:
        UserError: there is no such module or no such name in it.
    """
    module_name, _, attribute = name.partition(":")
    if not all((*module_name.split("."), attribute)):
        raise UserError(f"no name of an object: {name!r}", expected="package.module:Name")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(f"{name}: {error}", expected="package.module:Name, importable from here") from None
    if not hasattr(module, attribute):
        raise UserError(f"module {module_name} has no {attribute!r}", fix=nearest(attribute, vars(module)))
    return getattr(module, attribute)


def open_suite(name: str, split: str = "", allow: Iterable[str] = ()) -> TaskSuite:
    """The suite that a name means (module docstring), on the sides of a split where one is named.

    Args:
        split: a split file or a setting of MetaICL (task_suites/splits.py); tasks that it does not name are left out.
        allow: sources, families or tasks that may lie on two sides of it.

    Raises:
        UserError: nothing answers to the name, or what does is not a `TaskSuite`; or see `splits.apply`.
    """
    suite = _open(name)
    if not split:
        return suite
    from task_suites.splits import apply, load_split

    return apply(suite, load_split(split), allow)


def _open(name: str) -> TaskSuite:
    scheme, colon, rest = name.partition(":")
    if colon and scheme in SCHEMES:
        return load_named(SCHEMES[scheme])(rest)  # type: ignore[no-any-return]
    if name in BUILT_IN or (colon and not Path(name).exists()):
        if colon and not rest.isidentifier():
            form = "SOURCE:PLACE or package.module:function"
            raise UserError(f"no source {scheme!r}", found=name, expected=form, fix=nearest(scheme, SCHEMES))
        source = load_named(BUILT_IN.get(name, name))
        if not callable(source):
            raise UserError(f"{name} is a {type(source).__name__}", expected="a function that returns a TaskSuite")
        suite = source()
        if not isinstance(suite, TaskSuite):
            raise UserError(f"{name} gave a {type(suite).__name__}", expected="a TaskSuite")
        if not suite.tasks:
            raise UserError(f"suite {suite.name} from {name} holds no task")
        return suite
    from task_suites.sources.local import open_folder

    path = Path(name)
    if not path.exists() and "/" not in name:
        raise UserError(f"no suite {name!r}", fix=f"{nearest(name, BUILT_IN)} Or give a folder of tasks.")
    return open_folder(path)


def is_suite(name: str) -> bool:
    """Whether a name has the form of a suite's: a built-in one, a folder that is there, or something with a colon."""
    return name in BUILT_IN or ":" in name or Path(name).is_dir()


@dataclass(frozen=True)
class SuiteConfig:
    """Which tasks a run uses.

    Attributes:
        name: a built-in suite ("embedded"), a folder (docs/data.md), or `package.module:function`.
        max_words: leave out examples whose input has more words; 0 keeps all. No text is ever cut.
        min_train: where max_words is set, leave out tasks of which fewer train examples are left.
        min_test: where max_words is set, leave out tasks of which fewer test examples are left.
        forms: keep tasks whose examples have one of these forms: options, text, tags.
        tasks: keep these tasks only; empty keeps all.
        split: a split file (`metaicl suites split`) or a setting of MetaICL, in place of the suite's own sides.
        allow: sources, families or tasks that may lie on two sides of that split.
    """

    name: str = "embedded"
    max_words: Natural = 0
    min_train: Natural = 40
    min_test: Natural = 8
    forms: list[str] = field(default_factory=lambda: list(FORMS))
    tasks: list[str] = field(default_factory=list)
    split: str = ""
    allow: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_ranges(self, "suite")
        refuse_idle(self, ["allow"], "suite.split", "suite", used=bool(self.split))

    def open(self) -> tuple[TaskSuite, str | None]:
        """(the suite, a sentence on what was left out), checked for leaks across the meta-split.

        Raises:
            UserError: see `open_suite`; or held-out examples lie in meta-training tasks; or no task is left.
        """
        for form in self.forms:
            if form not in FORMS:
                raise UserError(f"suite.forms: unknown form {form!r}", fix=nearest(form, FORMS))
        suite = open_suite(self.name, self.split, self.allow)
        for name in self.tasks:
            suite[name]  # an unknown name is an error with its nearest neighbours
        chosen = self.tasks or suite.tasks
        suite = suite.replace_tasks(lambda t: t if t.name in chosen and t.form in self.forms else None)
        if not suite.tasks:
            raise UserError(f"suite {self.name}: no task is left", fix="Widen suite.forms or suite.tasks.")
        suite.assert_no_leak()
        return _shortened(suite, self) if self.max_words else (suite, None)


def _shortened(suite: TaskSuite, config: SuiteConfig) -> tuple[TaskSuite, str | None]:
    """The suite without its long examples, and without the tasks of which too few are left."""

    def short(example: Example) -> bool:
        return len(example.text.split()) <= config.max_words

    def count(task: Task, split: str) -> int:
        return sum(map(short, task.examples(split)))

    def enough(task: Task) -> Task | None:
        return task if count(task, "train") >= config.min_train and count(task, "test") >= config.min_test else None

    kept = suite.replace_tasks(enough)
    if not kept.tasks:
        raise UserError(
            f"suite {suite.name}: no task has enough examples of at most {config.max_words} words",
            expected=f"{config.min_train} for train and {config.min_test} for test",
            fix="Raise suite.max_words, or lower suite.min_train and suite.min_test.",
        )
    gone = sorted(set(suite.tasks) - set(kept.tasks))
    before = sum(len(t.examples(s)) for t in kept.tasks.values() for s in ("train", "test"))
    after = sum(count(t, s) for t in kept.tasks.values() for s in ("train", "test"))
    if after == before and not gone:
        return suite, None
    note = f"{before - after} of {before} examples have inputs of more than {config.max_words} words and were left out"
    if gone:
        note += f"; so were the tasks {', '.join(gone)}, of which too few examples remained"
    return kept.replace_tasks(lambda t: t.keep(short)), note + "."
