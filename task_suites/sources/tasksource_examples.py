"""Examples from the standard form of the library tasksource: pairs of texts, choices, or tokens with labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from task_suites.core.errors import UserError
from task_suites.example import Example, labels_problem
from task_suites.sources.rows import names_of
from task_suites.task import TaskType

LEAVE_OUT = "Leave the task out: --exclude, or the option missing=skip."

MAX_OPTIONS = 10  # of a multiple-choice example: the answer, and the first of the wrong ones
MAX_NUMBERS = 20  # different numbers that are taken for classes where the data set does not name them
OUTSIDE = ("O", "_", "")
_SPAN_TAG = re.compile(r"O|[BIESLU]-.+")
Row = Mapping[str, Any]


def make_examples(
    kind: TaskType, question: str, parts: Mapping[str, Any], where: str
) -> tuple[dict[str, list[Example]], tuple[str, ...]]:
    """Return the sound examples of each part, and the task's labels where it has a fixed list.

    Args:
        kind: the kind of task.
        question: a question of the library with ``{sentence2}`` in it belongs to each example; any other does not.
        parts: part -> its rows, a `datasets.Dataset` in the library's standard form.
        where: what errors call the task.

    Raises:
        UserError: labels without names, regression targets, several labels a row, or no sound example.
    """
    labels: tuple[str, ...] = ()
    if kind == "classification":
        names = _class_names(parts, where)
        make: Callable[[Row], Example | None] = lambda row: _classified(row, names, labels, question)  # noqa: E731
        labels = _occurring(names, parts, where)
    elif kind == "multiple_choice":
        make = _chosen
    else:
        tags = names_of(_feature(parts["train"], "labels"))
        make = _tagger(tags, parts["train"], where)
    made = {part: _sound(map(make, rows), labels) for part, rows in parts.items()}
    for part, examples in made.items():
        if not examples:
            raise UserError(
                f"no {part} row makes an example", where=where, found=f"{len(parts[part])} rows", fix=LEAVE_OUT
            )
    return made, labels


def _sound(examples: Iterable[Example | None], labels: Sequence[str]) -> list[Example]:
    return [example for example in examples if example is not None and example.problem(labels) is None]


def _feature(rows: Any, column: str) -> Any:
    return rows.features.to_dict().get(column)


# --- classification ---------------------------------------------------------------------------------------------------


def _class_names(parts: Mapping[str, Any], where: str) -> dict[Any, str]:
    """Return the name of each value of the column of labels."""
    feature = _feature(parts["train"], "labels")
    if names := names_of(feature) if isinstance(feature, dict) and feature.get("_type") == "ClassLabel" else ():
        return dict(enumerate(names))
    values: list[Any] = [value for rows in parts.values() for value in rows["labels"]]
    if not all(isinstance(value, int) for value in values) or len(set(values)) > MAX_NUMBERS:
        raise UserError(
            "the labels are not classes",
            where=where,
            found=repr(next(iter(parts["train"]["labels"]), None))[:60],
            expected=f"named classes, or at most {MAX_NUMBERS} whole numbers",
            fix=LEAVE_OUT,
        )
    return {value: str(value) for value in sorted(set(values))}


def _occurring(names: Mapping[Any, str], parts: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return the names of the classes that occur in a part, in the data set's order."""
    seen = {value for rows in parts.values() for value in rows.unique("labels")}
    labels = tuple(name.strip() for value, name in names.items() if value in seen)
    if len(labels) < 2:
        raise UserError("there are fewer than two classes", where=where, found=list(labels), fix=LEAVE_OUT)
    if wrong := labels_problem(labels):
        raise UserError(wrong[0], where=where, found=wrong[1], expected=wrong[2])
    return labels


def _classified(row: Row, names: Mapping[Any, str], labels: tuple[str, ...], question: str) -> Example | None:
    from tasksource.preprocess import classification_prompt

    if row["labels"] not in names:
        return None
    texts = {key: str(row[key]) for key in ("sentence1", "sentence2") if row.get(key) is not None}
    own = question if "{sentence2}" in question else None
    try:
        text, asked = classification_prompt(texts, own)
    except ValueError:  # the question needs a second text that the row does not have
        return None
    text = "\n".join(part.strip() for part in (text, asked) if part and part.strip())
    return Example(text, names[row["labels"]].strip(), labels)


# --- multiple choice --------------------------------------------------------------------------------------------------


def _chosen(row: Row) -> Example | None:
    """Return an example whose options are in an order that only their texts decide: in many data sets the answer is
    always the first. Options that speak of others by position keep their order."""
    from tasksource.preprocess import MultipleChoiceFields

    columns = sorted((key for key in row if re.fullmatch(r"choice\d+", key)), key=lambda key: int(key[6:]))
    texts = [str(row[key]).strip() if row[key] is not None else "" for key in columns]
    right = row["labels"]
    if not isinstance(right, int) or not 0 <= right < len(texts) or not texts[right]:
        return None
    options = list(dict.fromkeys(text for text in texts if text))
    shuffled, _ = MultipleChoiceFields.shuffled_with_gold(options, options.index(texts[right]), MAX_OPTIONS)
    text = str(row.get("inputs") or "").strip() or "\n".join(sorted(shuffled))  # without a text the options are it
    return Example(text, texts[right], tuple(shuffled))


# --- token labels -----------------------------------------------------------------------------------------------------


def _tagger(names: Sequence[str], rows: Any, where: str) -> Callable[[Row], Example | None]:
    """Return what makes an example with BIO tags. Labels that are not of spans, such as parts of speech, become spans
    of one token each."""
    seen = names or tuple(dict.fromkeys(tag for tags in rows["labels"] for tag in tags))
    if not all(isinstance(tag, str) for tag in seen):
        raise UserError("the labels of tokens have no names", where=where, found=repr(seen[:3]), fix=LEAVE_OUT)
    spans = all(_SPAN_TAG.fullmatch(tag) for tag in seen if tag not in OUTSIDE)

    def make(row: Row) -> Example | None:
        tokens = tuple(str(token).strip() for token in row["tokens"])
        tags = [names[tag] if names else tag for tag in row["labels"]]
        if len(tokens) != len(tags) or any(isinstance(tag, int) and tag < 0 for tag in row["labels"]):
            return None
        return Example(tokens=tokens, tags=tuple(_bio(tags) if spans else map(_single, tags)))

    return make


def _single(tag: str) -> str:
    return "O" if tag in OUTSIDE else f"B-{_type(tag)}"


def _bio(tags: Iterable[str]) -> Iterator[str]:
    """Yield BIO tags for those of BIO, IOB1, IOBES or BILOU; a tag that continues nothing opens a span."""
    opened = ""
    for tag in tags:
        prefix, kind = ("O", "") if tag in OUTSIDE else (tag[0], _type(tag[2:]))
        continues = prefix in "IEL" and kind == opened
        yield "O" if prefix == "O" else ("I-" if continues else "B-") + kind
        opened = kind if prefix in "BI" else ""


def _type(name: str) -> str:
    return re.sub(r"[\s;=]+", "_", name.strip())
