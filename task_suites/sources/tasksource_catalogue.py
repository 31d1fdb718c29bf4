"""The catalogue of the library tasksource (Sileo 2024, LREC-COLING): what tasks there are. No data set is downloaded.

The library annotates data sets of the Hugging Face hub as classification, multiple choice or token labels. Its lists
of English and multilingual tasks are for training; `tasksource.eval_only` has its benchmarks. Regression targets and
tasks that are made of others (`tasksource.recast.improper_labels`) are left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from task_suites.core.components import components
from task_suites.core.errors import UserError, nearest
from task_suites.task import TaskType

KINDS: dict[str, TaskType] = {
    "Classification": "classification",
    "MultipleChoice": "multiple_choice",
    "TokenClassification": "tagging",
}
USES = ("commercial", "non-commercial", "unspecified")  # what the library says that a licence allows
SEVERAL = "mul"  # the language of a task whose examples have several (ISO 639-2)
FILES = ("csv", "json", "parquet", "text")  # loaders of files, which are not the name of a data set
_HUB_FILE = re.compile(r"hf://datasets/([\w.-]+/[\w.-]+)")
_LANGUAGES = (  # where the id of a multilingual task has its language
    r"(?:stsb_multi_mt|paws-x|masakhanews|xstory_cloze|conll2002|offenseval_\w+)/(\w+)",
    r"(?:NusaX-senti|AfriSenti-twitter-sentiment)/(\w+)",
    r"xcopa/(?:translation-)?(\w+)",
    r"xcsr/X-\w+-(\w+)",
    r"xlwic/xlwic_\w+_(\w+)",
    r"multiconer_v2/.*\((\w+)\)",
    r"disrpt/(\w+)\..*",
    r"indic_glue/[\w-]+\.(\w+)(?:/.*)?",
    r"universal_dependencies/([a-z]+)_.*",
)
_OF_DATA_SET = {"clue": "zh", "klue": "ko", "xnli": "en", "massive": "en"}  # data sets of one language
_OTHER_CODES = {"jap": "ja", "gr": "el", "kannada": "kn", "tamil": "ta", "malayalam": "ml"}


@dataclass(frozen=True)
class Entry:
    """One task of the catalogue.

    Attributes:
        name: the library's id with colons for slashes: ``glue:mnli``.
        type: the kind of task.
        language: as ISO 639 has it, or `SEVERAL`.
        licence: the licences that the library found, and after them the use that they allow.
        use: one of `USES`.
        data_set: the data set of the hub that is loaded, or the kind of file.
        config: the data set's configuration.
        repositories: all data sets of the hub that are loaded, and the originals of copies.
        family: one name for all tasks that share a data set.
        question: what the task asks, where its inputs do not say it.
        evaluation_only: whether the library keeps it out of training.
        annotation: the library's annotation.
    """

    name: str
    type: TaskType
    language: str
    licence: str
    use: str
    data_set: str
    config: str | None
    repositories: tuple[str, ...]
    family: str
    question: str
    evaluation_only: bool
    annotation: Any = field(repr=False, compare=False)


def matching(entries: Iterable[Entry], filters: Mapping[str, str]) -> list[Entry]:
    """Return the entries that pass all filters; a filter is a list joined by commas, an empty one passes all.

    Args:
        filters: `names` (patterns such as ``glue:*``), `kind`, `language`, `licence` (uses, or names of licences).

    Raises:
        UserError: a value that no entry of the catalogue has.
    """
    left = list(entries)
    for name, values in (
        ("kind", lambda entry: [entry.type]),
        ("language", lambda entry: [entry.language]),
        ("licence", lambda entry: [entry.use, *entry.licence.split(", ")]),
    ):
        if wanted := _listed(filters[name]):
            known = {value for entry in entries for value in values(entry)}
            for value in wanted:
                if value not in known:
                    raise UserError(f"option {name}: no task has {value!r}", fix=nearest(value, known))
            left = [entry for entry in left if not wanted.isdisjoint(values(entry))]
    if patterns := {pattern.replace("/", ":") for pattern in _listed(filters["names"])}:
        for pattern in patterns:
            if not any(fnmatchcase(entry.name, pattern) for entry in entries):
                raise UserError(f"no task {pattern!r}", fix=nearest(pattern, [entry.name for entry in entries]))
        left = [entry for entry in left if any(fnmatchcase(entry.name, pattern) for pattern in patterns)]
    return left


def _listed(text: str) -> set[str]:
    return {part.strip() for part in text.split(",")} - {""}


@cache
def catalogue() -> tuple[Entry, ...]:
    """Return all tasks that the library annotates, sorted by name.

    Raises:
        UserError: the library is not installed.
    """
    try:
        import tasksource
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed", fix="Run: pip install 'metaicl[tasksource]'") from None
    found: dict[str, Entry] = {}
    for several in (False, True):
        for row in tasksource.list_tasks(multilingual=several, instruct=True).itertuples():
            values = (row.id, row.task_type, row.mapping, row.dataset_name, row.config_name)
            entry = _entry(*values, "multilingual/" if several else "")
            found.setdefault(entry.name, entry)  # one data set is in both lists
    for values in _benchmarks():
        entry = replace(_entry(*values, ""), evaluation_only=True)
        found[entry.name] = entry
    return tuple(sorted(_with_families(found.values()), key=lambda entry: entry.name))


def _benchmarks() -> Iterator[tuple[str, str, Any, str, str | None]]:
    """Yield (id, kind, annotation, data set, configuration) of each task that the library keeps for evaluation."""
    from types import SimpleNamespace

    from tasksource import eval_only
    from tasksource.access import CANONICAL, parse_var_name, pretty_name
    from tasksource.preprocess import Preprocessing

    for key, annotation in vars(eval_only).items():
        if not isinstance(annotation, Preprocessing) or type(annotation).__name__ not in KINDS:
            continue
        configs = annotation.config_name
        for config in sorted(configs) if isinstance(configs, (list, set, tuple)) else [configs]:
            task = SimpleNamespace(
                dataset_name=annotation.dataset_name, config_name=config, task_name=parse_var_name(key)[2]
            )
            name = annotation.task_id or pretty_name(task)
            data_set = CANONICAL.get(annotation.dataset_name, annotation.dataset_name)
            yield name, type(annotation).__name__, annotation, data_set, config


def _entry(
    identity: str, kind: str, annotation: Any, data_set: str, config: str | None, catalogue_prefix: str
) -> Entry:
    from tasksource.licenses import source_license
    from tasksource.metadata.originals import ORIGINALS

    loaded = set(_HUB_FILE.findall(str(annotation.load_dataset_kwargs))) | ({data_set} - set(FILES))
    repositories = sorted(loaded.union(*(ORIGINALS.get(key, ()) for key in loaded | {identity})))
    licence = source_license(catalogue_prefix + identity, repositories)
    question = annotation.question
    if isinstance(question, dict):  # one for each configuration
        question = question.get(config)
    return Entry(
        name=re.sub(r"[^\w.:+&-]+", "_", identity.replace("/", ":")).strip("_"),
        type=KINDS[kind],
        language=_language(identity, bool(catalogue_prefix)),
        licence=licence["license"],
        use=licence["license_use"],
        data_set=data_set,
        config=config,
        repositories=tuple(repositories),
        family="",
        question=question or "",
        evaluation_only=False,
        annotation=annotation,
    )


def _language(identity: str, multilingual: bool) -> str:
    """Return the language of a task: the library's first list is of English ones, and most ids of the other name it."""
    if not multilingual:
        return "en"
    head = identity.partition("/")[0]
    code = _OF_DATA_SET.get(head, "")
    for pattern in _LANGUAGES:
        if match := re.fullmatch(pattern, identity):
            code = match[1].lower()
    if not code or code in ("multilingual", "all_languages"):
        return SEVERAL
    import langcodes

    return _OTHER_CODES.get(code) or langcodes.standardize_tag(code)


def _with_families(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries with their families: tasks that load one data set, have one original, or begin with one name
    in the catalogue. A family is named by the data set that most of its tasks load."""
    entries = list(entries)
    head = {entry.name: f"id {entry.name.partition(':')[0]}" for entry in entries}
    group = components((head[e.name], key) for e in entries for key in (head[e.name], *e.repositories))
    loads: dict[str, Counter[str]] = {}
    for entry in entries:
        name = entry.name.partition(":")[0] if entry.data_set in FILES else entry.data_set
        loads.setdefault(group[head[entry.name]], Counter())[name] += 1
    named = {key: min(counts, key=lambda name: (-counts[name], name)) for key, counts in loads.items()}
    return [replace(entry, family=named[group[head[entry.name]]]) for entry in entries]
