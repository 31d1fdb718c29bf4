"""How an instruction is given: a function of task and format, whose text stands before the first demonstration."""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import TYPE_CHECKING

from task_suites.task import Illustration, Task

if TYPE_CHECKING:
    from task_suites.formats.prompt_format import PromptFormat


def line(task: Task, form: PromptFormat) -> str:
    """Return the instruction by itself."""
    return task.instruction + form.separator if task.instruction else ""


def definition(task: Task, form: PromptFormat) -> str:
    """Definition, positive and negative examples in the wording of Tk-Instruct (Wang et al. 2022, arXiv 2204.07705)."""
    text = f"Definition: {_sentence(task.instruction)}\n\n" if task.instruction.strip() else ""
    for kind, shown in (("Positive", task.positive[: form.positive]), ("Negative", task.negative[: form.negative])):
        text += "".join(_illustration(kind, i, item, form.explanations) for i, item in enumerate(shown, 1))
    return f"{text}Now complete the following example -\n" if text else ""


def _illustration(kind: str, number: int, item: Illustration, explain: bool) -> str:
    text = f" {kind} Example {number} -\nInput: {_sentence(item.input)}\n Output: {_sentence(item.output)}\n"
    return text + (f" Explanation: {_sentence(item.explanation)}\n\n" if explain and item.explanation else "\n")


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text[-1:] in string.punctuation else f"{text}."


INSTRUCTIONS: dict[str, Callable[[Task, PromptFormat], str]] = {"line": line, "definition": definition}
