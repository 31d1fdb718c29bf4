"""Suites and prompts as text for the terminal."""

from __future__ import annotations

import shutil
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from task_suites.core.columns import columns
from task_suites.core.errors import UserError, counted
from task_suites.episodes import EpisodeSampler
from task_suites.example import Example
from task_suites.formats.chat import ChatTemplate
from task_suites.formats.prompt_format import PromptFormat
from task_suites.formats.segments import Role, Segment
from task_suites.task import META_SPLITS, TaskSuite

LABELS_FROM_DATA = {"table": 'labels: "*"', "hf": "labels=*"}  # source -> what makes classes of a table's outputs
MIN_ROWS, MAX_DIFFERENT = 10, 20  # a free-text task with more rows and fewer outputs may be one of classification
Tokens = Callable[[str], Iterable[tuple[str, int]]]  # the tokens of a whole text, each with the character it ends at
COLOURS: dict[Role, str] = {
    "instruction": "35",
    "demo_input": "36",
    "demo_output": "32",
    "query": "34;1",
    "option": "33;1",
}


def list_tasks(suite: TaskSuite) -> str:
    """Return the number of tasks, a row of names and one line for each task; in a mixture each with its suite."""
    mixed = len({task.suite for task in suite.tasks.values()}) > 1
    limit = shutil.get_terminal_size((160, 24)).columns
    rows = []
    side = {task.name: split for split in META_SPLITS for task in suite.split(split)}
    for name in (*side, *(name for name in suite.tasks if name not in side)):
        task, split = suite[name], side.get(name, "in no split")
        labels = str(len(task.labels)) if task.labels else ""
        home = task.suite if mixed else ""
        rows.append((split, home, task.name, task.type, task.metric, labels, task.description))
    lines = columns(("side", "suite", "task", "type", "metric", "labels", "description"), rows)
    return "\n".join([f"{suite.name}: {counted(len(rows), 'task')}", *(line[:limit].rstrip() for line in lines)])


def forgotten_labels(suite: TaskSuite, names: Iterable[str] = ()) -> list[str]:
    """Return a note for each task of a table that is free text, but has so few different outputs that its labels seem
    to be forgotten.

    Args:
        names: the tasks that are read; none stands for all.
    """
    notes = []
    for name in names or suite.tasks:
        task = suite[name]
        source = task.suite.partition(":")[0]
        if source not in LABELS_FROM_DATA or task.type != "generation" or task.metric == "rouge_l":
            continue
        outputs = [example.output for part in ("train", "test") for example in task.examples(part)]
        different = len(set(outputs))
        if len(outputs) >= MIN_ROWS and 2 <= different <= min(MAX_DIFFERENT, len(outputs) // 2):
            advice = f"for classification add {LABELS_FROM_DATA[source]}"
            notes.append(f"{name}: {different} different outputs in {len(outputs)} rows: {advice}")
    return notes


def show_prompt(
    suite: TaskSuite,
    task_name: str,
    k: int,
    seed: int,
    form: PromptFormat | None = None,
    chat: ChatTemplate | None = None,
    tokens: Tokens | None = None,
) -> str:
    """Return a prompt of the task with its parts coloured (on a terminal only), above it which template was drawn and
    which words stand for labels, and below it the options and the right answer.

    Args:
        form: the format; None is the direct one.
        chat: renders a conversation, where the format is a chat (`PromptFormat.of`).
        tokens: gives the tokens of a text and where each ends in it; with it the prompt is shown token by token, those
            that are scored in brackets.

    Raises:
        UserError: no such task, or one that the format cannot show.
    """
    task = suite[task_name]
    form = form or PromptFormat()
    if form.channel and task.form != "options":
        raise UserError(f"task {task_name} has no options to score", fix="Show it in the direct format.")
    form = form.subclassed().of(task, chat)
    episode = EpisodeSampler(seed, k, 1).draw(task, "test", 0)
    query = episode.queries[0]
    segments = [*form.opening(task), *(s for e in episode.support for s in form.demonstration(e))]
    segments += form.branch(query, form.targets(query)[0])
    coloured = sys.stdout.isatty()

    def paint(role: Role, text: str) -> str:
        return f"\033[{COLOURS[role]}m{text}\033[0m" if coloured else text

    legend = ["  ".join(paint(role, role) for role in COLOURS)] if coloured else []
    about = [f"{task.name} ({task.type}, {task.metric}); k={k}, seed={seed}", *_bound_lines(form)]
    head = "\n".join((*about, *legend, "-" * 60, ""))
    shown = [paint(s.role, s.text) for s in segments] if tokens is None else _token_lines(segments, tokens, paint)
    return f"{head}{''.join(shown)}\n{'-' * 60}\n{_answer_lines(query, form)}"


def _answer_lines(query: Example, form: PromptFormat) -> str:
    """Return the options of a query, of which the prompt is shown with the first, and its right answer."""
    written = form.written(query)
    if not query.options:
        return f"right answer: {written}"
    right = query.output if written == query.output else f"{query.output} (written {written})"
    accepted = f"; accepted too: {', '.join(query.accepted)}" if query.accepted else ""
    return f"options, of which the prompt shows the first: {', '.join(query.options)}\nright answer: {right}{accepted}"


def _token_lines(segments: Sequence[Segment], tokens: Tokens, paint: Callable[[Role, str], str]) -> list[str]:
    """Return the tokens of the whole prompt, divided by bars, a line for each line of its text; those of the answer
    in brackets. Each has the colour of the segment in which it ends."""
    text = "".join(segment.text for segment in segments)
    ends = list(accumulate(len(segment.text) for segment in segments))
    context = len(text[: ends[-2] if len(ends) > 1 else 0].rstrip())  # trailing blanks belong to the answer
    shown = []
    for token, end in tokens(text):
        role = segments[min(bisect_left(ends, end), len(segments) - 1)].role
        written = f"[{token}]" if end > context else token
        shown.append(paint(role, written) + ("\n" if end and text[end - 1] == "\n" else "|"))
    return shown


def _bound_lines(form: PromptFormat) -> list[str]:
    """Return what the format took from the task: the template that was named or drawn, the words for labels."""
    if form.bound is None:
        return []
    template, words = form.bound.template, form.bound.words
    how = "named" if form.template else f"drawn by seed {form.seed}"
    named = [f"template: {template.name} ({how})"] if template else []
    return named + (["words: " + ", ".join(f"{a} -> {b}" for a, b in words.items())] if words else [])
