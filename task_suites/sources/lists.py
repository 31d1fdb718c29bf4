"""A task from Python lists, as scikit-learn takes them: `from_lists("mood", texts, labels)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from task_suites.core.errors import UserError
from task_suites.example import Example, Form
from task_suites.sources.cells import as_text, keys_as_text, mapped, refuse_number
from task_suites.sources.layouts import answered, divided
from task_suites.task import DEFAULT_METRICS, Metric, Task, TaskType, default_type

Item = tuple[Any, Any, Any]


def from_lists(
    name: str,
    texts: Sequence[Any],
    labels: Sequence[Any],
    test_texts: Sequence[Any] | None = None,
    test_labels: Sequence[Any] | None = None,
    *,
    options: Sequence[Sequence[Any]] | None = None,
    test_options: Sequence[Sequence[Any]] | None = None,
    label_names: Sequence[str] | Mapping[Any, str] | None = None,
    type: TaskType | None = None,
    metric: Metric | None = None,
    test_share: float = 0.2,
    seed: int = 0,
    **head: str,
) -> Task:
    """Return a task of `n` items.

    Args:
        texts: `[n]` inputs; for tagging `[n]` lists of tokens.
        labels: `[n]` answers: label words, numbers, or (type="generation") free text, a list of texts being all that
            are right; for tagging `[n]` lists of BIO tags.
        test_texts, test_labels: the items for testing. Without them they are about `test_share` of all items, chosen
            by `seed` and their text.
        options, test_options: `[n]` lists of each item's own options; a label is one of them.
        label_names: a map from each label to its word: `{0: "low", 1: "high"}`; or a list of the label words, where it
            is not simply all labels, sorted.
        type: deduced from the lists where it is not given: tagging, multiple_choice or classification.
        metric: one of `task_suites.task.METRICS`; by default accuracy, exact_match for free text, span_f1 for tags.
        head: further fields of `Task`: instruction, description, domain, family, source, licence.

    Raises:
        UserError: lists that differ in length, fewer than two classes, an unsound item (named by its number).
    """
    _check_share(name, test_share)
    given = {"train": _items(name, "train", texts, labels, options)}
    if test := _test_items(name, options is not None, test_texts, test_labels, test_options):
        given["test"] = test
    form = _form(given["train"], type)
    words = _words(name, given, label_names) if form == "options" and options is None else ()
    parts = {part: _examples(name, part, items, form, words, label_names) for part, items in given.items()}
    parts = parts if test else divided(parts["train"], test_share, f"task {name}", seed)
    kind = type or default_type(form, bool(words))
    fields: dict[str, Any] = {"family": head.get("source", ""), **head}
    return Task(name, kind, parts.__getitem__, labels=words, metric=metric or DEFAULT_METRICS[form], **fields)


def _check_share(name: str, share: float) -> None:
    if not 0 < share < 1:
        raise UserError(f"task {name}: test_share must be between 0 and 1, but is {share}")


def _form(items: Sequence[Item], type: TaskType | None) -> Form:
    """Return tags where an input is not a text, free text where the type says so, else options."""
    if any(not isinstance(text, str) for text, _, _ in items):
        return "tags"
    return "text" if type == "generation" and items[0][2] is None else "options"


def _test_items(
    name: str,
    with_options: bool,
    texts: Sequence[Any] | None,
    labels: Sequence[Any] | None,
    options: Sequence[Sequence[Any]] | None,
) -> list[Item]:
    """Return the items for testing; empty where none are given."""
    if (texts is None) != (labels is None) or (options is not None and texts is None):
        raise UserError(f"task {name}: only one of test_texts and test_labels is given", fix="Give both, or neither.")
    if texts is None or labels is None:
        return []
    if with_options and options is None:
        raise UserError(f"task {name}: test_options are missing", expected="options for the items for testing too")
    return _items(name, "test", texts, labels, options)


def _examples(
    name: str,
    part: str,
    items: Sequence[Item],
    form: Form,
    words: tuple[str, ...],
    label_names: Sequence[str] | Mapping[Any, str] | None,
) -> list[Example]:
    """Return the sound examples of one part."""
    made = []
    for number, item in enumerate(items, 1):
        where = f"task {name}, {part} example {number}"
        made.append(_example(*item, form, words, label_names, where))
        if wrong := made[-1].problem(words):
            raise UserError(wrong[0], where=where, found=wrong[1], expected=wrong[2])
    return made


def _example(
    text: Any,
    label: Any,
    own: Sequence[Any] | None,
    form: Form,
    words: tuple[str, ...],
    label_names: Sequence[str] | Mapping[Any, str] | None,
    where: str,
) -> Example:
    if form == "tags":
        tags = (_named(tag, None, label_names, where) for tag in _sequence(label, where))
        return Example(tokens=tuple(as_text(t, where) for t in _sequence(text, where)), tags=tuple(tags))
    if form == "text":
        plain = _plain(label)
        several = plain if isinstance(plain, (list, tuple)) else [plain]
        return answered(text, [as_text(answer, where) for answer in several])
    if own is None:
        return Example(text, _named(label, words, label_names, where), words)
    choices = tuple(as_text(_plain(o), where) for o in _sequence(own, where))
    chosen = as_text(_plain(label), where)
    if chosen not in choices and isinstance(_plain(label), int):
        fix = "Give the option itself, such as options[i][0]."
        raise UserError(
            "a number is not the name of an option",
            where=where,
            found=chosen,
            expected=f"one of {list(choices)}",
            fix=fix,
        )
    return Example(text, chosen, choices)


def _items(
    name: str, part: str, texts: Sequence[Any], labels: Sequence[Any], options: Sequence[Sequence[Any]] | None
) -> list[Item]:
    """Return (text, label, its own options or None) of each item."""
    lists = [list(texts), list(labels), [None] * len(texts) if options is None else list(options)]
    if len({len(values) for values in lists}) > 1:
        found = " and ".join(str(len(values)) for values in lists[: 2 if options is None else 3])
        raise UserError(f"task {name}: the {part} lists differ in length", found=found, expected="one answer a text")
    if not lists[0]:
        raise UserError(f"task {name}: the {part} lists are empty", expected="at least one item")
    return list(zip(*lists, strict=True))


def _words(
    name: str, given: Mapping[str, list[Item]], label_names: Sequence[str] | Mapping[Any, str] | None
) -> tuple[str, ...]:
    """Return the label words: as they are named, or all labels, sorted."""
    if isinstance(label_names, Mapping):
        words = tuple(dict.fromkeys(label_names.values()))
    elif label_names is not None:
        words = tuple(label_names)
    else:
        words = tuple(sorted({as_text(_plain(label), name) for items in given.values() for _, label, _ in items}))
    if len(words) < 2:
        fix = 'Free text as the answer? Say type="generation".'
        raise UserError(
            f"task {name}: the labels must be at least two different words", found=list(words), expected="two", fix=fix
        )
    return words


def _plain(value: Any) -> Any:
    """Return a NumPy scalar as Python's own."""
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value


def _named(
    label: Any, words: Sequence[str] | None, label_names: Sequence[str] | Mapping[Any, str] | None, where: str
) -> str:
    """Return the label's word: by the map where there is one, else the label itself."""
    text = as_text(_plain(label), where)
    if isinstance(label_names, Mapping):
        return mapped(text, keys_as_text(label_names, where), where)
    if label_names is not None:
        refuse_number(text, words or label_names, where, "label_names", "{key}={value}")
    return text


def _sequence(value: Any, where: str) -> list[Any]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise UserError(
            "this is not a list", where=where, found=repr(value)[:60], expected="a list of tokens, tags or options"
        )
    return list(value)
