"""Which column of a table is what, and a row of it as an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from task_suites.core.errors import UserError
from task_suites.example import Example, labels_problem
from task_suites.sources.cells import (
    QUOTES,
    SEPARATOR,
    as_text,
    as_typed,
    cell,
    keys_as_text,
    list_of,
    mapped,
    parts_of,
    refuse_number,
    refuse_option_number,
    texts,
)
from task_suites.sources.layouts import answered
from task_suites.sources.row_template import fields_of, is_template
from task_suites.sources.rows import Row

FROM_DATA = "*"  # as `labels`: the outputs that the train rows have
TEXT = (str,)
TEXTS = (str, list)
COLUMN_KEYS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("input", "output", "tokens", "tags", "accepted", "separator"), TEXT),
    **dict.fromkeys(("options", "option_keys"), TEXTS),
    "labels": (list, dict, str),
}


@dataclass(frozen=True)
class Columns:
    """Which column is what; `input` and `output` may be templates, and a name may lead into an object: `choices.text`.

    Attributes:
        options: the column that holds a row's own choices (a list, or text split at `separator`), or the columns that
            hold one each.
        option_keys: names of the options by which the output may say which is right, as a column or a list.
        labels: the label words; none where the column's classes or the train rows name them.
        label_map: a cell's value as text -> its label word.
    """

    input: str = ""
    output: str = ""
    options: str | tuple[str, ...] = ""
    option_keys: str | tuple[str, ...] = ""
    tokens: str = ""
    tags: str = ""
    accepted: str = ""
    separator: str = SEPARATOR
    labels: tuple[str, ...] = ()
    label_map: Mapping[str, str] = field(default_factory=dict)
    labels_from_data: bool = False

    @staticmethod
    def of(keys: Mapping[str, Any], where: object) -> Columns:
        """From the keys of a task.

        Raises:
            UserError: neither input and output nor tokens and tags, or labels of a wrong type.
        """
        values = {key: keys[key] for key in COLUMN_KEYS if key in keys and key != "labels"}
        for key in ("options", "option_keys"):
            if isinstance(values.get(key), list):
                kinds = (str,) if key == "options" else (str, int)
                if not all(isinstance(v, kinds) for v in values[key]):
                    raise UserError(f"{key} must be a list of texts", where=where, found=repr(values[key])[:60])
                values[key] = tuple(as_text(v, where) for v in values[key])
        if ("tokens" in values) != ("tags" in values) or ("tokens" in values) == bool(
            values.keys() & {"input", "output"}
        ):
            raise UserError(
                "no columns are named for input and output",
                where=where,
                expected="input and output, or tokens and tags",
            )
        if "tokens" not in values and not {"input", "output"} <= values.keys():
            raise UserError("the column of input or of output is not named", where=where, expected="both")
        labels = keys.get("labels", [])
        if isinstance(labels, str):
            if labels != FROM_DATA:
                raise UserError(
                    "labels has a wrong value", where=where, found=repr(labels[:60]), expected='a list, or "*"'
                )
            return Columns(**values, labels_from_data=True)
        words = list(labels.values()) if isinstance(labels, dict) else labels
        if strange := [word for word in words if not isinstance(word, str)]:
            raise UserError("a label is not text", where=where, found=repr(strange[0])[:60], fix=QUOTES)
        mapping = keys_as_text(labels, where) if isinstance(labels, dict) else {}
        distinct = tuple(dict.fromkeys(words)) if mapping else tuple(words)
        if problem := labels_problem(distinct):
            raise UserError(problem[0], where=where, found=problem[1], expected=problem[2])
        return Columns(**values, labels=distinct, label_map=mapping)

    def wanted(self) -> set[str]:
        """Return the columns that are read."""
        parts = (self.input, self.output, self.tokens, self.tags, self.accepted)
        lists = [self.options] if isinstance(self.options, str) else self.options
        named = [self.option_keys] if isinstance(self.option_keys, str) else []
        names = {part for part in (*parts, *lists, *named) if part}
        return {n for name in names for n in (fields_of(name) if is_template(name) else (name, name.split(".")[0]))}

    def example(self, row: Row, names: Sequence[str], where: object) -> Example:
        """Return an example from a row; not checked yet.

        Args:
            names: the names of the classes of the output's or the tags' column.

        Raises:
            UserError: a column that is not there, or a cell of a wrong type.
        """
        if self.tokens:
            tokens, tags = (cell(row, name, where) for name in (self.tokens, self.tags))
            tokens = list_of(parts_of(tokens), self.tokens, where)
            tags = list_of(parts_of(tags), self.tags, where)
            return Example(
                tokens=tuple(texts(tokens, where)), tags=tuple(self.label(tag, names, where) for tag in tags)
            )
        text = as_text(cell(row, self.input, where), where)
        output = cell(row, self.output, where)
        options = self._options(row, where)
        more = cell(row, self.accepted, where) if self.accepted else None
        more = [] if more is None else list_of(parts_of(more, self.separator), self.accepted, where)
        if self.labels or self.label_map or names or self.labels_from_data:
            label, *others = (self.label(value, names, where) for value in (output, *more))
            return Example(text, label, options or self.labels or tuple(names) or None, accepted=tuple(others))
        if options:
            choice, *others = (self._choice(value, options, row, where) for value in (output, *more))
            return Example(text, choice, options, accepted=tuple(others))
        outputs = output if isinstance(output, (list, tuple)) else [output]
        return answered(text, texts([*outputs, *more], where))

    def label(self, value: Any, names: Sequence[str], where: object) -> str:
        """Return the label word of a cell: a class by its number or name, then the map.

        Raises:
            UserError: a value that the map or the classes lack, or a number of which nobody says what it means.
        """
        text = as_text(value, where)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if names and whole:
            if not 0 <= value < len(names):
                fix = "A split without answers? Name another for `test`." if value == -1 else None
                expected = f"0 to {len(names) - 1}"
                raise UserError(
                    "the output is not the number of a class", where=where, found=value, expected=expected, fix=fix
                )
            text = names[value]
        if self.label_map:
            return mapped(
                as_text(value, where) if whole and text not in self.label_map else text, self.label_map, where
            )
        if self.tokens:
            return text
        if text not in names and text not in self.labels:
            text = as_typed(text)
        if self.labels:
            refuse_number(text, self.labels, where)
        return text

    def _options(self, row: Row, where: object) -> tuple[str, ...]:
        if not self.options:
            return ()
        if isinstance(self.options, tuple):
            return tuple(as_text(cell(row, name, where), where) for name in self.options)
        options = parts_of(cell(row, self.options, where), self.separator)
        return tuple(texts(list_of(options, self.options, where), where))

    def _keys(self, row: Row, where: object) -> list[str]:
        own = self.option_keys
        keys = texts(
            own if isinstance(own, tuple) else list_of(parts_of(cell(row, own, where), self.separator), own, where),
            where,
        )
        if len(set(keys)) != len(keys):
            raise UserError(
                "two options have the same key", where=where, found=keys[:20], expected="distinct option_keys"
            )
        return keys

    def _choice(self, output: Any, options: Sequence[str], row: Row, where: object) -> str:
        """Return the option that the output names, by its key or its text."""
        text = as_text(output, where)
        if self.option_keys:
            keys = self._keys(row, where)[: len(options)]
            if text not in keys:
                expected = f"one of {keys[:20]}"
                raise UserError(
                    "the answer is not the key of an option", where=where, found=repr(text[:60]), expected=expected
                )
            return options[keys.index(text)]
        refuse_option_number(text, options, where)
        return text
