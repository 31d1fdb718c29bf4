"""Reading a configuration file: its first YAML document. A run's `config.yaml` has a second one, which says on what it
ran, and is a configuration all the same."""

from __future__ import annotations

from typing import Any

import yaml
from jsonargparse import get_loader, set_loader

MODE = "first document"


def first_document(text: str) -> Any:
    """Return the value of the first YAML document in a text, or of a text that is one value."""
    if "\n---" in text:
        marks = [event.start_mark for event in yaml.parse(text) if isinstance(event, yaml.DocumentStartEvent)]
        text = text[: marks[1].index] if len(marks) > 1 and marks[1] else text
    value = get_loader("yaml")(text)
    if isinstance(value, dict) and isinstance(names := value.get("suite"), (str, list)):
        value["suite"] = {
            "names": [names] if isinstance(names, str) else names
        }  # `suite: NAME` or `suite: [NAME, NAME]`
    return value


set_loader(MODE, first_document, exceptions=(yaml.YAMLError,))
