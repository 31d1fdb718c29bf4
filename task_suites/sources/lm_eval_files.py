"""The YAML files of a folder of lm-evaluation-harness tasks: includes merged, groups taken apart; nothing is run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError, nearest
from task_suites.core.files import inside, read_text
from task_suites.core.json_files import read_json
from task_suites.core.yaml_files import MAX_YAML, read_yaml

ENDINGS = (".yaml", ".yml")
MAX_DEPTH = 20  # of includes and groups
MAX_MEMBERS = 100_000  # of groups, in all
WHERE = "\0where"  # the key, which no file can hold, that says which file a config is from


class YamlFiles:
    """The YAML files below a folder, each read once."""

    def __init__(self, root: Path):
        self.root = root
        self._merged: dict[Path, dict[Any, Any]] = {}
        self._names: dict[str, dict[Any, Any]] | None = None
        self._members = 0

    def all(self) -> list[Path]:
        """Return the YAML files, sorted; folders that are links are passed over, files that lead out are refused."""
        found = []
        for folder, folders, names in os.walk(self.root):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            here = [Path(folder, name) for name in sorted(names) if name.endswith(ENDINGS) and name[0] != "."]
            found += [inside(self.root, path.relative_to(self.root)) for path in here]
        return found

    def merged(self, path: Path, above: tuple[Path, ...] = ()) -> dict[Any, Any]:
        """Return the mapping in a file, which overrides those that it includes.

        Raises:
            UserError: the includes form a circle or lead out of the folder, a file is not a mapping, or it has a
                `!function`.
        """
        if path in self._merged:
            return self._merged[path]
        if path in above or len(above) > MAX_DEPTH:
            circle = " -> ".join(p.name for p in (*above[-4:], path))
            raise UserError("the includes form a circle", where=above[-1], found=circle)
        try:
            config = read_yaml(path)
        except UserError:
            _refuse_functions(path)
            raise
        if not isinstance(config, dict):
            raise UserError("not a mapping", where=path, found=type(config).__name__, expected="key: value lines")
        config = dict(config)
        includes = config.pop("include", [])
        below: dict[Any, Any] = {}
        for name in includes if isinstance(includes, list) else [includes]:
            if not isinstance(name, str):
                raise UserError(
                    "include has a wrong type", where=path, found=repr(name)[:60], expected="names of files"
                )
            below.update(self.merged(self._beside(path, name), (*above, path)))
        merged = {**below, **config, WHERE: path}
        self._merged[path] = merged
        return merged

    def _beside(self, path: Path, name: str) -> Path:
        """Return a file that another names, relative to it and within the folder."""
        if os.path.isabs(name) or "\0" in name:
            raise UserError("not a name within the folder", where=path, found=repr(name[:80]))
        relative = os.path.normpath(os.path.join(os.path.relpath(path.parent, self.root), name))
        return inside(self.root, relative)

    def members(self, config: Mapping[Any, Any], depth: int = 0) -> Iterator[dict[Any, Any]]:
        """Yield the tasks of a config: itself, or those of a group, by name or written out.

        Raises:
            UserError: no such task, groups in a circle, or a member of a wrong type.
        """
        where, task = config[WHERE], config.get("task")
        if isinstance(task, str):
            yield dict(config)
            return
        if not isinstance(task, list):
            raise UserError("task has a wrong type", where=where, found=repr(task)[:60], expected="a name, or a list")
        if depth > MAX_DEPTH:
            raise UserError("the groups form a circle", where=where, found=repr(config.get("group"))[:60])
        self._members += len(task)
        if self._members > MAX_MEMBERS:
            raise UserError("the groups have too many members", where=where, expected=f"at most {MAX_MEMBERS}")
        for member in task:
            if isinstance(member, dict) and isinstance(member.get("task"), str) and "dataset_path" in member:
                yield {**member, WHERE: where}
            elif isinstance(member, dict) and isinstance(member.get("task"), list):
                yield from self.members({**member, WHERE: where}, depth + 1)
            else:
                changes = member if isinstance(member, dict) else {}
                yield from self._named(changes.get("task", member), changes, where, depth)

    def _named(self, name: Any, changes: Mapping[Any, Any], where: object, depth: int) -> Iterator[dict[Any, Any]]:
        if self._names is None:
            self._names = {}
            for path in self.all():
                config = self.merged(path)
                for key in ("task", "group"):
                    if isinstance(config.get(key), str):
                        self._names.setdefault(config[key], config)
        if not isinstance(name, str) or name not in self._names:
            fix = nearest(name[:60], self._names) if isinstance(name, str) else None
            raise UserError(f"no task {str(name)[:60]!r} beside this file", where=where, fix=fix)
        for single in self.members(self._names[name], depth + 1):
            yield {**single, **changes, "task": single["task"]}

    def header(self) -> dict[str, Any]:
        """Name and sides of the split of a folder that task_suites/export/lm_eval.py wrote."""
        path = self.root / "suite.json"
        if not os.path.isfile(path):
            return {}
        value = read_json(inside(self.root, "suite.json"))
        splits = value.get("splits") if isinstance(value, dict) else None
        texts = isinstance(splits, dict) and all(
            isinstance(names, list) and all(isinstance(n, str) for n in names) for names in splits.values()
        )
        heads = texts and isinstance(value.get("name"), str) and isinstance(value.get("description", ""), str)
        if not heads:
            raise UserError(
                "not the header of a suite", where=path, expected='{"name": ..., "splits": {side: [tasks]}}'
            )
        return dict(value)


def _refuse_functions(path: Path) -> None:
    for number, line in enumerate(read_text(path, MAX_YAML).split("\n"), 1):
        if re.search(r"(^|[\s\[{,:-])!function\b", line):
            raise UserError(
                "!function names Python code, which is not run",
                where=f"{path}:{number}",
                found=repr(line.strip()[:80]),
                fix="Write it as a template, or as a function that returns a TaskSuite (docs/data.md).",
            )
