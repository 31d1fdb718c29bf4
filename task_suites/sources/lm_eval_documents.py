"""How documents of lm-evaluation-harness become examples: `doc_to_text`, `doc_to_target` and `doc_to_choice`."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.sources.cells import as_text
from task_suites.sources.layouts import answered
from task_suites.sources.row_template import MAX_TEXT, render
from task_suites.sources.rows import Row


@dataclass(frozen=True)
class Documents:
    """How documents become examples, as the harness reads the keys of the same names.

    Attributes:
        multiple_choice: whether options are scored; else the target is free text.
        choices: `doc_to_choice`: a list, a field's name or a template that writes a list; None for none.
        tags: fields that hold tokens and tags, where task_suites/export/lm_eval.py wrote the task.
        accepted: the field that holds further right answers, likewise.
    """

    text: str
    target: Any
    multiple_choice: bool
    choices: Any = None
    tags: tuple[str, str] | None = None
    accepted: str = ""

    def example(self, row: Row, where: object) -> Example:
        """Return an example from one document; not checked yet.

        Raises:
            UserError: a field is missing or of a wrong type, or a template fails.
        """
        if self.tags:
            tokens, tags = (row.get(name) for name in self.tags)
            if not isinstance(tokens, list) or not isinstance(tags, list):
                raise UserError("the fields of tokens and tags must be lists", where=where, found=repr(row)[:80])
            return Example(tokens=tuple(map(str, tokens)), tags=tuple(map(str, tags)))
        text = _field_or_text(self.text, row, where)
        written = isinstance(text, int) or (self.text not in row and text.isdecimal())
        if self.choices is not None and written:  # the harness then takes doc_to_choice for inputs
            raise UserError(
                "a choice among inputs is not supported",
                where=where,
                found=f"doc_to_text gives {text}",
                fix="Leave this task out.",
            )
        text = as_text(text, where)
        target = self._target(row, where)
        if not self.multiple_choice:
            return self._free(text, target, row, where)
        options = tuple(self._options(row, where))
        if isinstance(target, list) and len(target) == 1:
            target = target[0]
        if isinstance(target, int) and not isinstance(target, bool):
            if not 0 <= target < len(options):
                raise UserError(
                    "the target is not the number of a choice",
                    where=where,
                    found=target,
                    expected=f"0 to {len(options) - 1}",
                )
            target = options[target]
        return Example(text, as_text(target, where), options, accepted=tuple(self._accepted(row)))

    def labels(self) -> tuple[str, ...]:
        """Return the choices, where they are a plain list."""
        choices = list(self.choices.values()) if isinstance(self.choices, dict) else self.choices
        fixed = self.multiple_choice and isinstance(choices, list)
        return tuple(as_text(choice, "doc_to_choice") for choice in choices) if fixed else ()

    def _target(self, row: Row, where: object) -> Any:
        """Return `doc_to_target`: a field as it is; what a template writes may be the number of a choice or a list."""
        target = _field_or_text(self.target, row, where)
        if not isinstance(self.target, str) or self.target in row:
            return target
        if target.isdecimal() and self.choices is not None:
            return int(target[:9])
        return _literal(target, target) if len(target) > 1 and target[0] + target[-1] == "[]" else target

    def _free(self, text: str, target: Any, row: Row, where: object) -> Example:
        if self.choices is not None and isinstance(target, int):
            options = list(self._options(row, where))
            target = options[target] if 0 <= target < len(options) else target
        answers = [as_text(t, where) for t in (target if isinstance(target, (list, tuple)) else [target])]
        return answered(text, [*answers, *self._accepted(row)])

    def _accepted(self, row: Row) -> list[str]:
        more = row.get(self.accepted) if self.accepted else None
        return list(map(str, more)) if isinstance(more, list) else []

    def _options(self, row: Row, where: object) -> list[str]:
        choices = self.choices
        if isinstance(choices, dict):
            choices = list(choices.values())
        if isinstance(choices, str):
            choices = row[choices] if choices in row else _literal(render(choices, row, where), None)
        if not isinstance(choices, (list, tuple)):
            raise UserError("doc_to_choice must give a list", where=where, found=repr(choices)[:60])
        return [as_text(choice, where) for choice in choices]


def _field_or_text(source: Any, row: Row, where: object) -> Any:
    """Return a field's value where the text is a field's name, else what the text gives as a template."""
    if not isinstance(source, str):
        return source
    return row[source] if source in row else render(source, row, where)


def _literal(text: str, default: Any) -> Any:
    """Return the Python list, text or number that a template has written; `default` where it is none."""
    if len(text) > MAX_TEXT // 10:
        return default
    try:
        return ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        return default


def documents_of(config: Mapping[Any, Any], ours: Mapping[str, Any], choice: bool, path: Path) -> Documents:
    for key, kinds in (
        ("doc_to_text", (str,)),
        ("doc_to_target", (str, int, list)),
        ("doc_to_choice", (str, list, dict)),
    ):
        value = config.get(key)
        if not isinstance(value, kinds) and not (value is None and key == "doc_to_choice" and not choice):
            what = f"{key} is missing" if value is None else f"{key} has a wrong type"
            raise UserError(
                what, where=path, found=None if value is None else repr(value)[:60], expected="a template or a field"
            )
    few = config.get("fewshot_config") or {}
    for key in few if isinstance(few, dict) else ():
        if str(key).startswith("doc_to_"):
            fix = "Remove the key, or leave this task out."
            raise UserError(
                f"fewshot_config.{key}: demonstrations of another form are not supported", where=path, fix=fix
            )
    tags = tuple(ours["tags"]) if "tags" in ours else None
    return Documents(
        ours.get("input", config["doc_to_text"]),
        config["doc_to_target"],
        choice,
        config.get("doc_to_choice"),
        tags,  # type: ignore[arg-type]
        ours.get("accepted", ""),
    )
