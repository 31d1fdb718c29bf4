"""Suites and prompts as text for the terminal."""

from __future__ import annotations

import shutil
import sys

from task_suites.chat import ChatTemplate
from task_suites.episodes import EpisodeSampler
from task_suites.errors import UserError, counted
from task_suites.formats import PromptFormat, Role
from task_suites.task import META_SPLITS, TaskSuite

COLOURS: dict[Role, str] = {
    "instruction": "35",
    "demo_input": "36",
    "demo_output": "32",
    "query": "34;1",
    "option": "33;1",
}


def list_tasks(suite: TaskSuite) -> str:
    """One line a task: meta-split, name, type, metric, number of labels, description."""
    width = max(map(len, suite.tasks))
    limit = shutil.get_terminal_size((160, 24)).columns
    lines = [f"{suite.name}: {counted(len(suite.tasks), 'task')}"]
    side = {task.name: split for split in META_SPLITS for task in suite.split(split)}
    for name in (*side, *(name for name in suite.tasks if name not in side)):
        task, split = suite[name], side.get(name, "in no split")
        labels = f"{len(task.labels)} labels" if task.labels else ""
        line = f"{split:16}{task.name:{width}}  {task.type:15} {task.metric:12} {labels:10} {task.description}"
        lines.append(line[:limit].rstrip())
    return "\n".join(lines)


def show_prompt(
    suite: TaskSuite,
    task_name: str,
    k: int,
    seed: int,
    form: PromptFormat | None = None,
    chat: ChatTemplate | None = None,
) -> str:
    """A prompt of the task with its parts coloured (not where the output is no terminal), and above it which template
    was drawn and which words stand for labels.

    Args:
        form: the format; None is the direct one.
        chat: renders a conversation, where the format is a chat (`PromptFormat.of`).

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

    legend = "  ".join(paint(role, role) for role in COLOURS)
    answers = f"options: {', '.join(query.options)}" if query.options else f"answer: {form.written(query)}"
    about = [f"{task.name} ({task.type}, {task.metric}); k={k}, seed={seed}", *_bound_lines(form)]
    head = "\n".join((*about, legend, "-" * 60, ""))
    return f"{head}{''.join(paint(s.role, s.text) for s in segments)}\n{'-' * 60}\n{answers}"


def _bound_lines(form: PromptFormat) -> list[str]:
    """What the format took from the task: the template that was named or drawn, the words for labels."""
    if form.bound is None:
        return []
    template, words = form.bound.template, form.bound.words
    how = "named" if form.template else f"drawn by seed {form.seed}"
    named = [f"template: {template.name} ({how})"] if template else []
    return named + (["words: " + ", ".join(f"{a} -> {b}" for a, b in words.items())] if words else [])
