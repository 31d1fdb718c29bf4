"""What binds a prompt format to one task and one tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from task_suites.formats.chat import ChatPieces
from task_suites.formats.templates import Template
from task_suites.task import Task


@dataclass(frozen=True)
class Bound:
    """What a format takes from a task and a tokenizer (`PromptFormat.of`).

    Attributes:
        task: the task.
        words: label, or type of a tag, -> the word that stands for it; those without one stand for themselves.
        template: the template that was named or drawn.
        chat: the pieces of the tokenizer's chat template.
    """

    task: Task
    words: Mapping[str, str]
    template: Template | None
    chat: ChatPieces | None


UNBOUND = Bound(Task("", "generation", lambda split: ()), {}, None, None)
