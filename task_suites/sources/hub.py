"""Data sets of the Hugging Face hub, and local ones in its layouts, in a line: `hf:NAME?input=text&output=label`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from task_suites.core.errors import UserError
from task_suites.sources.layouts import make_suite
from task_suites.sources.options import number, split_options
from task_suites.sources.table import TASK_KEYS, open_task, open_yaml
from task_suites.task import TaskSuite

LISTS = ("options", "option_keys", "columns")  # several names are joined by commas
OPTIONS = {key: "" for key, kinds in TASK_KEYS.items() if key not in ("path", "quotes", "format", "delimiter")}


def open_hub(rest: str) -> TaskSuite:
    """Open a suite of one task, or what a YAML file says.

    Args:
        rest: ``NAME?revision=&config=&input=text&output=label&labels=&...`` with a hub name, a data file or a folder,
            and the keys of a table YAML; lists are joined by commas, a label map is ``0:bad,1:good``. Or ``FILE.yaml``.

    Raises:
        UserError: nothing answers to the name, or an option or column is wrong.
    """
    path, options = split_options(rest, OPTIONS)
    given: dict[str, Any] = {key: value for key, value in options.items() if value}
    if path.suffix in (".yaml", ".yml"):
        if given:
            raise UserError(
                "a YAML file takes no options after its name",
                where=path,
                found=sorted(given),
                fix="Put them into the file.",
            )
        return open_yaml(path)
    if "tokens" not in given:
        given = {"input": "text", "output": "label", **given}
    for key in LISTS:
        if "," in given.get(key, ""):
            given[key] = given[key].split(",")
    for key in {"seed", "streaming"} & given.keys():
        given[key] = number(options, key)
    if "test_share" in given:
        given["test_share"] = _share(given["test_share"])
    if given.get("labels", "*") != "*":
        words = given["labels"].split(",")
        pairs = [word.split(":", 1) for word in words]
        given["labels"] = dict(pairs) if all(len(pair) == 2 for pair in pairs) else words
    local = path.resolve() if os.path.exists(path) else None
    base = local.parent / "-" if local else Path("-")
    given["path"] = local.name if local else path.as_posix()
    name = "-".join(
        part
        for part in ((local or path).stem if os.path.isfile(local or path) else path.name, given.get("config"))
        if part
    )
    task = open_task(given, name, base, f"hf:{path}")
    return make_suite(task.name, [task], None, f"hf:{path}")


def _share(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UserError("option test_share has a wrong value", found=repr(text), expected="between 0 and 1") from None
