"""The prompts that the report shows: a short one as an example, and that of each mistake."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval.answering import protocol_episode
from eval.config import Protocol
from eval.contenders import Contender
from eval.harness import Comparison
from eval.report.mistakes import Query, mistakes
from eval.report.prompts import (
    EXAMPLE,
    MISTAKES,
    ExamplePrompt,
    MistakePrompt,
    MistakePrompts,
    ShownSegment,
    write_prompt,
)
from eval.report.summary import rows
from eval.results import Results
from metaicl.methods import method_class
from metaicl.methods.in_context.icl import InContext
from metaicl.methods.in_context.selection import Selector
from task_suites.core.errors import UserError
from task_suites.example import Example
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import Task


def write_prompts(ran: Comparison, contenders: Sequence[Contender], form: PromptFormat, results: Results) -> None:
    """Write `prompt.json`, a short prompt, and `mistakes.json`, the prompts of the mistakes that the report shows."""
    if prompt := example_prompt(ran.tasks, ran.protocol, form):
        write_prompt(ran.folder / EXAMPLE, prompt)
    if found := mistake_prompts(ran, contenders, form, results):
        write_prompt(ran.folder / MISTAKES, found)


def example_prompt(tasks: Sequence[Task], protocol: Protocol, form: PromptFormat, k: int = 4) -> ExamplePrompt | None:
    """Return one short prompt, for the report; None where the format suits none of the tasks."""
    for task in sorted(tasks, key=lambda t: (t.form != "options", len(t.examples("train")[0].text))):
        try:
            episode = protocol_episode(protocol, task, 0, min(k, max(protocol.k)), tasks)
            segments = _segments(form, task, episode.support, episode.queries[0])
        except UserError:  # the reason why this task's cells were refused, which the report shows
            continue
        return ExamplePrompt(task.name, len(episode.support), segments)
    return None


def mistake_prompts(
    ran: Comparison, contenders: Sequence[Contender], form: PromptFormat, results: Results
) -> MistakePrompts | None:
    """Return the prompts of the mistakes that the report shows; None where the method of interest is several
    trainings, or made no mistake that can be shown.

    A method whose settings nobody knows has the format `form`. A prompt has the demonstrations that an in-context
    method shows, or else the whole support set, as the method's format writes it.
    """
    made = rows(results)
    contender = next((c for c in contenders if c.name == made[0].method.name), None)
    if contender is None:
        return None
    k, folder = results.headline_k, results.folder or Path()
    found = mistakes(folder, results, made)
    dropped = {(cell.task, cell.seed): cell.dropped for cell in made[0].cells if cell.k == k}
    prompts = []
    for mistake in (*found.worst, *found.regressions):
        task, seed, index = mistake.query
        segments = _of_query(ran, contender, form, mistake.query, k, dropped.get((task, seed), 0))
        prompts.append(MistakePrompt(task, seed, index, segments))
    return MistakePrompts(contender.name, k, prompts) if prompts else None


def _of_query(
    ran: Comparison, contender: Contender, ran_with: PromptFormat, query: Query, k: int, dropped: int
) -> list[ShownSegment]:
    """Return the prompt of one query of a comparison."""
    name, seed, index = query
    task = next(task for task in ran.tasks if task.name == name)
    episodes = ran.episodes(task, seed, k)
    episode, wanted = [(episode, one) for episode in episodes for one in episode.queries][index]
    support = episode.support[: len(episode.support) - dropped] if len(episodes) == 1 else episode.support
    settings = contender.settings
    if "name" in settings and issubclass(method_class(settings["name"]), InContext):
        options: Mapping[str, Any] = settings["options"]
        shown = support if options["demonstrations"] else ()
        ((support, _),) = Selector(task, shown, options["selection"], options["shown"]).groups([wanted])
    form = PromptFormat(**settings["format"]) if "format" in settings else ran_with
    return _segments(form, episode.task, support, wanted)


def _segments(form: PromptFormat, task: Task, support: Sequence[Example], query: Example) -> list[ShownSegment]:
    """Return a query's prompt with its first target.

    Raises:
        UserError: the format does not suit the task.
    """
    bound = replace(form.subclassed(), chat=False).of(task)  # contents only: no tokenizer is at hand here
    branch = bound.branch(query, bound.targets(query)[0])
    segments = [*bound.opening(task), *(s for e in support for s in bound.demonstration(e))]
    return [ShownSegment(s.role, s.text, s in branch and s.scored) for s in (*segments, *branch)]
