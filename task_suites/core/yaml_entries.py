"""YAML as entries that know their file and line, for files whose every mistake is reported where it stands.

    tasks = read_entries(Path("weather.yaml")).fields(required=("tasks",))["tasks"]
    tasks.items()["sky"].fields(required=("kind",), optional=("type",))["kind"].one_of(("class", "tags"))

Every scalar is read as text: `off` and `1e3` are words here, neither a boolean nor a number.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import at_line
from task_suites.core.values import listed
from task_suites.core.yaml_files import compose


@dataclass(frozen=True)
class Entry:
    """A value in a YAML file.

    Attributes:
        name: the keys that lead to it, joined by dots; empty for the whole file.
        line: the line of its key, from 1.
    """

    node: yaml.Node
    path: Path
    name: str
    line: int

    def error(self, what: str, *, line: int | None = None, found: object = None, fix: str | None = None) -> UserError:
        """Return the error that `what` is wrong here, with file and line."""
        return UserError(what, where=at_line(self.path, line or self.line), found=found, fix=fix)

    def text(self) -> str:
        """Return the text of a scalar.

        Raises:
            UserError: it is empty, a list or a mapping.
        """
        if not isinstance(self.node, yaml.ScalarNode) or not self.node.value.strip():
            raise self.error(f"{self.name} must be text", found=self._kind())
        return str(self.node.value)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Yield (line in the file, line of the text); all are on the line of the key unless the text is a `|` block."""
        text = self.text()
        is_block = isinstance(self.node, yaml.ScalarNode) and self.node.style == "|"
        for number, line in enumerate(text.splitlines()):
            yield (self.node.start_mark.line + 2 + number if is_block else self.line), line

    def one_of(self, known: Collection[str], of: str = "") -> str:
        """Return the text, which must be one of `known`; `of` says in an error what these are.

        Raises:
            UserError: it is none of them.
        """
        if (text := self.text()) not in known:
            must = f"one of {of}" if of else listed(tuple(known))
            raise self.error(f"{self.name} must be {must}, but is {text!r}", fix=nearest(text, known))
        return text

    def number(self, least: int, most: int) -> int:
        """Return a whole number between `least` and `most`.

        Raises:
            UserError: it is not one.
        """
        text = self.text()
        if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
            raise self.error(f"{self.name} must be a whole number from {least} to {most}, but is {text!r}")
        return int(text)

    def list(self) -> list[Entry]:
        """Return the items of a list; a scalar is a list of one.

        Raises:
            UserError: it is a mapping, or empty.
        """
        if isinstance(self.node, yaml.ScalarNode):
            self.text()
            return [self]
        if not isinstance(self.node, yaml.SequenceNode) or not self.node.value:
            raise self.error(f"{self.name} must be a list", found=self._kind())
        return [
            Entry(node, self.path, f"{self.name}[{i}]", node.start_mark.line + 1)
            for i, node in enumerate(self.node.value)
        ]

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.node, yaml.MappingNode)

    def items(self) -> dict[str, Entry]:
        """Return the entries of a mapping by their keys, in the order of the file.

        Raises:
            UserError: it is not a mapping, or empty.
        """
        if not isinstance(self.node, yaml.MappingNode) or not self.node.value:
            raise self.error(f"{self.name or 'the file'} must be a mapping, lines of `key: value`", found=self._kind())
        entries = {}
        for key, node in self.node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise self.error("a key must be text", line=line, found="a list or a mapping")
            name = f"{self.name}.{key.value}" if self.name else key.value
            entries[key.value] = Entry(node, self.path, name, line)
        return entries

    def fields(self, required: Sequence[str], optional: Sequence[str] = ()) -> dict[str, Entry]:
        """Return the entries of a mapping whose keys are declared.

        Raises:
            UserError: a key is unknown, or a required one is missing.
        """
        entries = self.items()
        known = (*required, *optional)
        for key, entry in entries.items():
            if key not in known:
                raise entry.error(f"unknown key {entry.name!r}", fix=nearest(key, known))
        if missing := [key for key in required if key not in entries]:
            raise self.error(f"{self.name or 'the file'} lacks {listed(tuple(missing)).replace(' or ', ' and ')}")
        return entries

    def _kind(self) -> str:
        if isinstance(self.node, yaml.ScalarNode):
            return repr(self.node.value[:60]) if self.node.value.strip() else "nothing"
        size = len(self.node.value)
        kind = "list" if isinstance(self.node, yaml.SequenceNode) else "mapping"
        return f"a {kind} of {size}" if size else f"an empty {kind}"


def read_entries(path: Path) -> Entry:
    """Return the value of a YAML file as an `Entry`, read without running anything.

    Raises:
        UserError: see `task_suites.core.yaml_files.compose`; or the file is empty.
    """
    node = compose(path)
    if node is None:
        raise UserError("the file is empty", where=path, expected="lines of `key: value`")
    return Entry(node, path, "", 1)
