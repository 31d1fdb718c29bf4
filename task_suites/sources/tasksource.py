"""Over a thousand data sets of the Hugging Face hub, as the library tasksource annotates them (the extra `tasksource`).

    tasksource:                                        all tasks for training, each data set on one side
    tasksource:glue:*,anli:*?rows=2000                 those of these names
    tasksource:?kind=classification&language=en        by kind, language, licence

Opening reads the library's catalogue only. A task is loaded when its examples are first needed, at one commit, and
stored in the cache folder as `task_suites.store` has it; from then on it opens from there, also without a network.
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import user_cache
from task_suites.example import Example
from task_suites.parts import StoredExamples
from task_suites.sources.dataset_rows import commit_of, in_short
from task_suites.sources.layouts import divided, make_suite
from task_suites.sources.options import number, one_of, parse_options
from task_suites.sources.tasksource_catalogue import FILES, Entry, catalogue, matching
from task_suites.sources.tasksource_examples import make_examples
from task_suites.store import HEADER, open_store, write_store
from task_suites.task import META_SPLITS, Task, TaskSuite

OPTIONS = {
    "kind": "",
    "language": "",
    "licence": "",
    "rows": "10000",
    "test_rows": "1000",
    "min_rows": "0",
    "max_words": "0",
    "sides": "0.8,0.1,0.1",
    "evaluation": "leave",
    "missing": "refuse",
}
SEEN = 2000  # rows of which every answer to a question with few of them is seen
TEST_SHARE = 0.2  # of the rows of a data set without a test part


def open_tasksource(rest: str) -> TaskSuite:
    """Open the tasks of the catalogue that pass the filters. Nothing is downloaded.

    Args:
        rest: ``NAMES?kind=&language=&licence=&rows=&...`` (docs/thousand_tasks.md).

    Raises:
        UserError: the library is not installed, or an option is unknown or wrong, or no task is left.
    """
    names, mark, query = rest.partition("?")
    options = parse_options(query, OPTIONS, f"tasksource:{names}") if mark else dict(OPTIONS)
    evaluation = one_of(options, "evaluation", ("leave", "add", "only"))
    limits = Limits(*(number(options, name) for name in ("rows", "test_rows", "max_words", "min_rows")))
    skip = one_of(options, "missing", ("refuse", "skip")) == "skip"
    shares = _shares(options["sides"])
    entries = [e for e in catalogue() if evaluation == "add" or e.evaluation_only == (evaluation == "only")]
    chosen = matching(entries, {"names": names, **options})
    if not chosen:
        raise UserError("no task passes the filters", where=f"tasksource:{rest}", fix="Leave one of them out.")
    held_out = {entry.family for entry in chosen if entry.evaluation_only}
    sides: dict[str, list[str]] = {}
    for entry in chosen:
        side = "meta_test" if entry.family in held_out else _side(entry.family, shares)
        sides.setdefault(side, []).append(entry.name)
    return make_suite("tasksource", [_task(entry, limits, skip) for entry in chosen], sides, f"tasksource:{rest}")


def _shares(text: str) -> tuple[float, float, float]:
    """Return the shares of the three sides: numbers that add up to 1, or all of them for one side."""
    if text in META_SPLITS:
        first, second, third = (float(text == side) for side in META_SPLITS)
        return first, second, third
    parts = text.split(",")
    if len(parts) == 3 and all(re.fullmatch(r"[01]|[01]?\.\d{1,6}", part) for part in parts):
        first, second, third = map(float, parts)
        if abs(first + second + third - 1) < 1e-6:
            return first, second, third
    fix = nearest(text, META_SPLITS)
    raise UserError("option sides has a wrong value", found=repr(text), expected="a side, or as 0.8,0.1,0.1", fix=fix)


def _side(family: str, shares: tuple[float, float, float]) -> str:
    """Return the side of a data set. It depends on its name and the shares only, so that no filter moves it."""
    place = int.from_bytes(hashlib.sha256(family.encode()).digest()[:6], "big") / 2**48
    return "meta_train" if place < shares[0] else "meta_validation" if place < shares[0] + shares[1] else "meta_test"


def _task(entry: Entry, limits: Limits, skip: bool) -> Task:
    source = entry.family if entry.data_set in FILES else entry.data_set
    return Task(
        entry.name,
        entry.type,
        HubTask(entry, limits, skip),
        instruction="" if "{sentence2}" in entry.question else " ".join(entry.question.split()),
        metric={"classification": "macro_f1", "tagging": "span_f1"}.get(entry.type, "accuracy"),  # type: ignore[arg-type]
        family=entry.family,
        description=f"{entry.language}, {entry.use}: {entry.licence}, {source}",
        source=_of_config(entry, source),
        licence=entry.licence,
        evaluation_only=entry.evaluation_only,
    )


@dataclass(frozen=True)
class Limits:
    """Sizes of tasks.

    Attributes:
        rows: at most this many train rows are taken, a sample; 0 takes all.
        test_rows: the same for the test part.
        words: examples whose input has more words are left out; 0 keeps all.
        least: tasks with fewer train examples are left out.
    """

    rows: int
    test_rows: int
    words: int
    least: int

    def fits(self, example: Example) -> bool:
        """Return whether an example's input is short enough."""
        return not self.words or len(example.text.split()) <= self.words


@dataclass(frozen=True)
class HubTask:
    """What loads one task of the catalogue (`Task.load`), and prepares it (`Task.prepared`).

    Attributes:
        entry: the task in the catalogue.
        limits: how many rows are taken.
        skip: whether a task that cannot be loaded is left out.
    """

    entry: Entry
    limits: Limits
    skip: bool = field(default=False)

    def __call__(self, part: str) -> StoredExamples:
        return self.stored.examples(part)  # type: ignore[return-value]

    @cached_property
    def stored(self) -> Task:
        """The task as it is in the cache folder; it is loaded from the hub and stored there where it is not.

        Raises:
            UserError: the hub cannot be reached, or the data are not what the annotation expects.
        """
        folder = self.folder
        if not (folder / HEADER).is_file():
            task = load_task(self.entry, self.limits)
            try:
                write_store(TaskSuite(self.entry.name, {task.name: task}, {}), folder)
            except UserError:
                if not (folder / HEADER).is_file():  # else another process was quicker
                    raise
        return open_store(folder)[self.entry.name]

    @property
    def folder(self) -> Path:
        """The folder of the stored task: one for each version of the library and each choice of rows."""
        limits = self.limits
        name = self.entry.name.replace(":", ".")
        return cache_folder() / version("tasksource") / f"{name}-{limits.rows}-{limits.test_rows}-{limits.words}"

    def prepared(self, task: Task) -> Task | str:
        """Return `task` with its labels and the commit of its data, or why it is left out."""
        try:
            stored = self.stored
        except UserError as error:
            if self.skip:
                return f"cannot be loaded ({str(error).splitlines()[0][:120]})"
            raise
        if len(stored.examples("train")) < self.limits.least:
            return f"fewer than {self.limits.least} train examples"
        return replace(task, load=stored.load, labels=stored.labels, source=stored.source)


def cache_folder() -> Path:
    """Return where loaded tasks lie."""
    return user_cache() / "tasksource"


# --- loading ----------------------------------------------------------------------------------------------------------


def load_task(entry: Entry, limits: Limits) -> Task:
    """Return a task with its examples in memory: its data at one commit, through the library's annotation.

    Raises:
        UserError: the hub cannot be reached, or the data are not what the annotation expects.
    """
    data, commits = _download(entry)
    parts = _standardised(entry, data, limits)
    made, labels = make_examples(entry.type, entry.question, parts, entry.name)
    examples = {part: list(filter(limits.fits, of_part)) for part, of_part in made.items()}
    if not all(examples.values()):
        raise UserError(f"{entry.name}: a part has no example of at most {limits.words} words", fix="Raise max_words.")
    if "test" not in examples:
        examples = divided(examples["train"], TEST_SHARE, entry.name)
    task = _task(entry, limits, skip=False)
    stated = (
        ", ".join(f"{repository}@{commit}" for repository, commit in commits.items()) or f"{entry.family}, no commit"
    )
    return replace(task, load=lambda part: examples[part], labels=labels, source=_of_config(entry, stated))


def _of_config(entry: Entry, source: str) -> str:
    return f"{source} ({entry.config})" if entry.config else source


def _download(entry: Entry) -> tuple[Any, dict[str, str]]:
    """Return the data set that an annotation loads, and the commit of each data set of the hub that it is read from."""
    import datasets
    from tasksource.access import pin_hf_urls

    options = _filled(copy.deepcopy(dict(entry.annotation.load_dataset_kwargs)), entry.config or "")
    refs = dict(re.findall(r"hf://datasets/([\w.-]+/[\w.-]+?)(?:@([^/'\"\s]+))?/", str(options)))
    if entry.data_set not in FILES:
        refs[entry.data_set] = options.pop("revision", "")
    commits = {repository: _commit(repository, ref, entry) for repository, ref in sorted(refs.items())}
    options = pin_hf_urls(options, commits)
    config = options.pop("name", None if entry.data_set in FILES else entry.config)
    if entry.data_set in commits:
        options["revision"] = commits[entry.data_set]
    try:
        return datasets.load_dataset(entry.data_set, config, **options), commits
    except Exception as error:  # whatever the network, the hub and its files make of it
        raise _unreachable(entry, entry.data_set, error) from None


def _commit(repository: str, ref: str, entry: Entry) -> str:
    from urllib.parse import unquote

    if re.fullmatch(r"[0-9a-f]{40}", ref):
        return ref
    try:
        return commit_of(repository, unquote(ref))[0]
    except Exception as error:
        raise _unreachable(entry, repository, error) from None


def _unreachable(entry: Entry, repository: str, error: Exception) -> UserError:
    said = in_short(error)
    return UserError(
        f"{entry.name} needs the data set {repository} of the Hugging Face hub, which cannot be loaded ({said})",
        fix="Load it once with a network, or leave it out: --exclude, or the option missing=skip.",
    )


def _filled(value: Any, config: str) -> Any:
    """Return loader options with the configuration's name where they take one."""
    if isinstance(value, str):
        return value.replace("{config_name}", config)
    if isinstance(value, Mapping):
        return {key: _filled(item, config) for key, item in value.items()}
    return [_filled(item, config) for item in value] if isinstance(value, (list, tuple)) else value


def _standardised(entry: Entry, data: Any, limits: Limits) -> dict[str, Any]:
    """Return "train" and perhaps "test" -> rows in the library's standard form, sampled with a fixed seed."""
    annotation = copy.copy(entry.annotation)
    annotation.dataset_name, annotation.config_name = entry.data_set, entry.config
    if hasattr(type(annotation), "view"):  # of labels by several annotators: the rows on which most agree
        annotation = annotation.view(soft=False)
    own: dict[str, Any] = {"gold_first": False, "max_options": None} if entry.type == "multiple_choice" else {}
    try:
        made = annotation(data, _sampled(limits.rows), _sampled(limits.test_rows), seed=0, **own)
    except Exception as error:  # other columns or labels than those that were annotated
        raise UserError(
            f"the annotation of {entry.name} does not fit its data ({in_short(error)})",
            fix="Leave the task out: --exclude, or the option missing=skip.",
        ) from None
    test = next((made[part] for part in ("test", "validation") if part in made and len(made[part])), None)
    parts = {"train": _limited(made["train"], limits.rows)}
    return parts if test is None else {**parts, "test": _limited(test, limits.test_rows)}


def _sampled(limit: int) -> int | None:
    """Return how many rows the library takes: enough to see every answer, since it numbers those that occur."""
    return max(limit, SEEN) if limit else None


def _limited(rows: Any, limit: int) -> Any:
    return rows.shuffle(seed=0).select(range(limit)) if 0 < limit < len(rows) else rows
