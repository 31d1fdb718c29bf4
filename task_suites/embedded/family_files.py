"""Families as data: one YAML file for each family of tasks, in the folder `families`.

    # families/15-bakery.yaml: the family `bakery`; the files are read in the order of their names
    side: meta_train                       # or meta_validation, meta_test; all tasks of a family are on one side
    domain: bakery
    lexicon:
      who: a baker / the {old|young} miller             # phrases: one a line, or several with ` / ` between them
      bread:                                            # an entry with classes
        sweet: a bun / a slice of cake
        salty: |
          {a pretzel|a roll} with salt
    templates:                                          # one template a line, which has slots of the lexicon
      sales: |
        {who} sold {bread} before eight in the morning.
    tasks:
      taste:                                            # the task `bakery_taste`
        kind: class
        slot: bread
        labels: {sweet: sugar, salty: salt}
        templates: sales                                # or a list of names
        instruction: What does it taste of?
        description: sweet and salty baking

kind of task | answer | its own keys | `type`, the first by default
--- | --- | --- | ---
`class` | the label word of the class of `slot` | `slot`, `labels` (a label for each class) | `classification`, `relation`, `event`, `generation` (the label is written, not chosen)
`choice` | the ending that suits `{situation}` | `situations` (a list of `situation`, `ending`), `options` (3) | `multiple_choice`
`tags` | the spans marked ``<TYPE:...>`` | `spans` (their types) | `tagging`, `event`
`span` | the text marked ``<X:...>`` | | `generation`

Every mistake in a file is one error with file and line. After a change, `python -m task_suites.embedded` finds
the examples once, so that they need not be searched for in each process.
"""  # noqa: E501

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import listing
from task_suites.core.yaml_entries import Entry, read_entries
from task_suites.embedded.attempts import sources
from task_suites.embedded.generator import Blueprint, Family
from task_suites.embedded.kinds import Draw, choice_of, class_of, span_of, tags_of
from task_suites.embedded.templates import Lexicon, Phrases, phrases, slots_of
from task_suites.task import MetaSplit, Metric, TaskType

FOLDER = Path(__file__).resolve().parent / "families"
_FILE_NAME = re.compile(r"(?:\d+-)?([a-z][a-z0-9_]*)\.yaml")
_MARKED = re.compile(r"<([A-Z]+):[^<>]*>")


def read_families(folder: Path = FOLDER) -> tuple[Family, ...]:
    """Return the families of a folder, in the order of the names of their files.

    Raises:
        UserError: a file is not a family (see `read_family`), two have one name, or there is none.
    """
    families: dict[str, Family] = {}
    for name in (name for name in listing(folder) if name.endswith((".yaml", ".yml"))):
        family = read_family(folder / name)
        if family.name in families:
            raise UserError(f"a second family named {family.name!r}", where=folder / name, fix="Rename the file.")
        families[family.name] = family
    if not families:
        raise UserError("there is no family of tasks", where=folder, expected="files NAME.yaml")
    return tuple(families.values())


def read_family(path: Path) -> Family:
    """Return the family of tasks in a file, which is named ``NAME.yaml`` or ``NN-NAME.yaml``.

    Raises:
        UserError: the name is not of this form, or something in the file is wrong; with file and line.
    """
    if not (name := _FILE_NAME.fullmatch(path.name)):
        raise UserError(
            "the name of a family's file must be NAME.yaml or NN-NAME.yaml", where=path, expected="a name like bakery"
        )
    file = read_entries(path).fields(("side", "domain", "lexicon", "templates", "tasks"))
    side = cast(MetaSplit, file["side"].one_of(get_args(MetaSplit)))
    lexicon = _lexicon(file["lexicon"])
    templates = file["templates"].items()
    tasks = file["tasks"].items()
    blueprints = tuple(_blueprint(name, entry, templates, lexicon) for name, entry in tasks.items())
    used = {item.text() for entry in tasks.values() for item in entry.items()["templates"].list()}
    if unused := [entry for name, entry in templates.items() if name not in used]:
        raise unused[0].error(f"no task uses {unused[0].name}", fix="Name it in `templates` of a task, or delete it.")
    return Family(name[1], side, file["domain"].text(), lexicon, blueprints, sources(path))


def _lexicon(entry: Entry) -> Lexicon:
    entries = entry.items()
    return {
        name: {key: _phrases(item, entries) for key, item in inner.items().items()}
        if inner.is_mapping
        else _phrases(inner, entries)
        for name, inner in entries.items()
    }


def _phrases(entry: Entry, slots: Collection[str]) -> Phrases:
    """Return the phrases of an entry, whose slots must be among `slots` and whose marks must be whole."""
    if _wrong_with(entry.text(), slots):  # all at once, for the search of the line takes much longer
        for line, text in entry.lines():
            if wrong := _wrong_with(text, slots):
                what, fix = wrong
                raise entry.error(what, line=line, found=repr(text.strip()), fix=fix)
        raise entry.error("braces do not match", fix="Close each on its own line.")
    return phrases(entry.text())


def _wrong_with(text: str, slots: Collection[str]) -> tuple[str, str | None] | None:
    """Return (what is wrong, how to mend it) with templates or phrases; None where nothing is."""
    try:
        unknown = sorted(slots_of(text) - set(slots))
    except ValueError:
        return "braces do not match", None
    if unknown:
        return f"there is no lexicon entry {unknown[0]!r}", f"Add it to `lexicon`. {nearest(unknown[0], slots)}"
    if "<" in text and set("<>") & set(_MARKED.sub("", text)):
        return "a mark must read <TYPE:...>", None
    return None


@dataclass(frozen=True)
class _Question:
    """What a kind of task reads from the file, apart from the keys that every task has."""

    draw: Draw
    metric: Metric
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Kind:
    """A kind of task: the types that it may have, the first by default; its own keys; and how these are read."""

    types: tuple[TaskType, ...]
    read: Callable[[Mapping[str, Entry], Phrases, Lexicon, TaskType], _Question]
    keys: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def _blueprint(name: str, entry: Entry, templates: Mapping[str, Entry], lexicon: Lexicon) -> Blueprint:
    if "kind" not in entry.items():
        raise entry.error(f"{entry.name} lacks kind", fix=f"It is one of {', '.join(KINDS)}.")
    kind = KINDS[entry.items()["kind"].one_of(KINDS)]
    task = entry.fields(("kind", "templates", "instruction", "description", *kind.keys), ("type", *kind.optional))
    type = cast(TaskType, task["type"].one_of(kind.types)) if "type" in task else kind.types[0]
    slots = (*lexicon, "situation") if "situations" in task else tuple(lexicon)
    frames = tuple(
        phrase
        for item in task["templates"].list()
        for phrase in _phrases(templates[item.one_of(templates, "`templates`")], slots)
    )
    question = kind.read(task, frames, lexicon, type)
    return Blueprint(
        name=name,
        type=type,
        instruction=task["instruction"].text(),
        description=task["description"].text(),
        labels=question.labels,
        templates=frames,
        draw=question.draw,
        metric=question.metric,
    )


def _class(task: Mapping[str, Entry], frames: Phrases, lexicon: Lexicon, type: TaskType) -> _Question:
    entries = {name: entry for name, entry in lexicon.items() if isinstance(entry, Mapping)}
    slot = task["slot"].one_of(entries, "the entries of `lexicon` that have classes")
    labels: dict[str, str] = {}
    for name, label in task["labels"].items().items():
        if name not in entries[slot]:
            raise label.error(f"{slot} has no class {name!r}", fix=f"Its classes are {', '.join(entries[slot])}.")
        labels[name] = label.text()
    words = tuple(dict.fromkeys(labels.values()))
    if len(words) < 2:
        raise task["labels"].error("there must be at least two different labels", found=", ".join(words))
    if type == "generation":
        return _Question(class_of(slot, labels, frames, lexicon, free_text=True), "exact_match")
    return _Question(class_of(slot, labels, frames, lexicon, free_text=False), "macro_f1", words)


def _choice(task: Mapping[str, Entry], frames: Phrases, lexicon: Lexicon, type: TaskType) -> _Question:
    groups = []
    for item in task["situations"].list():
        group = item.fields(("situation", "ending"))
        groups.append((_phrases(group["situation"], lexicon), _phrases(group["ending"], lexicon)))
    if len(groups) < 2:
        raise task["situations"].error("there must be at least two situations, which are each other's wrong options")
    options = task["options"].number(2, len(groups)) if "options" in task else min(3, len(groups))
    return _Question(choice_of(groups, frames, lexicon, options), "accuracy")


def _tags(task: Mapping[str, Entry], frames: Phrases, lexicon: Lexicon, type: TaskType) -> _Question:
    marked = _marked(frames) | _marked_in(lexicon)
    spans = tuple(item.one_of(marked, "the types marked <TYPE:...>") for item in task["spans"].list())
    if rest := sorted(_marked(frames) - set(spans)):
        raise task["spans"].error(f"{task['spans'].name} lacks {', '.join(rest)}, which the templates mark")
    return _Question(tags_of(frames, lexicon), "span_f1", spans)


def _span(task: Mapping[str, Entry], frames: Phrases, lexicon: Lexicon, type: TaskType) -> _Question:
    if not _marked_in(lexicon) and (bare := next((frame for frame in frames if not _marked((frame,))), None)):
        raise task["templates"].error("a template does not mark its answer <X:...>", found=repr(bare))
    return _Question(span_of(frames, lexicon), "exact_match")


def _marked(frames: Phrases) -> set[str]:
    """Return the types of spans that templates or phrases mark."""
    return {type for frame in frames for type in _MARKED.findall(frame)}


def _marked_in(lexicon: Lexicon) -> set[str]:
    entries = (entry.values() if isinstance(entry, Mapping) else (entry,) for entry in lexicon.values())
    return {type for entry in entries for phrases in entry for type in _marked(phrases)}


KINDS: Mapping[str, _Kind] = {
    "class": _Kind(("classification", "relation", "event", "generation"), _class, ("slot", "labels")),
    "choice": _Kind(("multiple_choice",), _choice, ("situations",), ("options",)),
    "tags": _Kind(("tagging", "event"), _tags, ("spans",)),
    "span": _Kind(("generation",), _span),
}
