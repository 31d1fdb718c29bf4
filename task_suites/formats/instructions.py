"""How an instruction is given: what stands before the first demonstration, as text."""

from __future__ import annotations

import string

from task_suites.task import Illustration, Task


def line(task: Task, separator: str) -> str:
    """Return the instruction by itself."""
    return task.instruction + separator if task.instruction else ""


def definition(task: Task, positive: int, negative: int, explanations: bool) -> str:
    """Return definition, positive and negative examples in the wording of Tk-Instruct (Wang et al. 2022, arXiv
    2204.07705).

    Args:
        positive: the largest number of positive examples.
        negative: the largest number of negative examples.
        explanations: whether the examples' explanations are given.
    """
    text = f"Definition: {_sentence(task.instruction)}\n\n" if task.instruction.strip() else ""
    for kind, shown in (("Positive", task.positive[:positive]), ("Negative", task.negative[:negative])):
        text += "".join(_illustration(kind, i, item, explanations) for i, item in enumerate(shown, 1))
    return f"{text}Now complete the following example -\n" if text else ""


def _illustration(kind: str, number: int, item: Illustration, explain: bool) -> str:
    text = f" {kind} Example {number} -\nInput: {_sentence(item.input)}\n Output: {_sentence(item.output)}\n"
    return text + (f" Explanation: {_sentence(item.explanation)}\n\n" if explain and item.explanation else "\n")


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text[-1:] in string.punctuation else f"{text}."
