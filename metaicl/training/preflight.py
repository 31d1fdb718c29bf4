"""What can be known of a meta-training before its first step, checked before it.

A task with fewer examples than k, or an example that cannot fit into the model's context, would otherwise stop the
training in the step in which its turn comes. Episodes are pure functions of seed and step, so the run's own episodes
are drawn and measured here, as far as `SECONDS` reach; `check_episodes` measures those of a later step before it runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from metaicl.lm.context_length import TooLong
from metaicl.methods.base import Method
from metaicl.training.config import TrainerConfig, ValidationConfig
from metaicl.training.step_episodes import training_episodes
from task_suites.core.errors import UserError, counted
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.example import Example
from task_suites.task import Task

SECONDS = 5.0  # at most, for looking at examples and episodes ahead
VALIDATION_SEED = 1_000_000  # meta-validation draws its own support sets


def check_training(
    method: Method,
    tasks: Sequence[Task],
    held_out: Sequence[Task],
    config: TrainerConfig,
    validation: ValidationConfig,
    seconds: float = SECONDS,
) -> None:
    """Check the tasks of a training and of its validation against the method, k and the model's context.

    Args:
        tasks: the meta-training tasks.
        held_out: the meta-validation tasks.
        seconds: looks no further ahead after this time.

    Raises:
        UserError: a task has too few examples; two of its options are the same tokens to the model; an example or an
            episode does not fit into the context (named with its position, its length, the limit and the way out);
            validation is wanted and no task is there for it.
    """
    until = time.monotonic() + seconds
    tasks = [task for task in tasks if method.refusal(task) is None]
    validated = [task for task in held_out if config.eval_steps and method.refusal(task) is None]
    if config.eval_steps and not validated:
        raise UserError(
            "eval_steps is set, and the method takes none of the meta-validation tasks",
            found=f"{counted(len(held_out), 'meta-validation task')}",
            fix="Set --eval_steps 0, or put tasks under meta_validation in the suite's YAML (`splits`, docs/data.md).",
        )
    sampler = EpisodeSampler(
        config.seed,
        config.most_demonstrations(config.resolved().max_steps - 1),
        config.queries,
        per_class=config.per_class,
        max_classes=config.max_classes,
    )
    for task in tasks:
        _drawn(sampler, task, "train", "--k")
    for task in {task.name: task for task in (*tasks, *validated)}.values():
        _check_encodes(method, task)
    check_examples(method, _examples(tasks, validated), until)
    check_episodes(method, list(validation_episodes(validated, validation)), "--validation_k")
    for step in range(config.resolved().max_steps if tasks else 0):
        check_episodes(method, training_episodes(tasks, config, step))
        if time.monotonic() > until:
            break


def validation_episodes(tasks: Sequence[Task], config: ValidationConfig) -> Iterator[Episode]:
    """Return the episodes by which a method is valued during meta-training: for each task, each of its support sets."""
    samplers = [EpisodeSampler(VALIDATION_SEED + seed, config.k, config.queries) for seed in range(config.seeds)]
    return (_drawn(sampler, task, "test", "--validation_k") for task in tasks for sampler in samplers)


def _drawn(sampler: EpisodeSampler, task: Task, role: str, option: str) -> Episode:
    """Return an episode; an error names the option that k comes from."""
    try:
        return sampler.draw(task, role, 0)
    except UserError as error:
        raise UserError(f"{error} k is set by {option}.") from None


def _check_encodes(method: Method, task: Task) -> None:
    """Raise where the tokenizer does not part the options of a task's first example."""
    try:
        method.longest(task, (), task.examples("train")[:1])
    except UserError as error:
        raise UserError(f"task {task.name}: {error}") from None


def check_examples(method: Method, examples: Iterable[tuple[Task, str, int, Example]], until: float) -> None:
    """Check that each example fits into the model's context when it stands by itself in a prompt.

    Raises:
        TooLong: names the first that does not, with its position, and counts the others.
    """
    context = method.backbone.context
    found: list[tuple[Task, str, int, Example, int]] = []
    for task, part, index, example in examples:
        if _bytes(task, example) <= context:
            continue
        length = max(method.longest(task, (), [example]), method.longest(task, [example], ()))
        if length > context:
            found.append((task, part, index, example, length))
        if time.monotonic() > until:
            break
    if found:
        task, part, index, example, length = found[0]
        more = f", and so {'is' if len(found) == 2 else 'are'} {len(found) - 1} more" if len(found) > 1 else ""
        raise TooLong(
            f"task {task.name}: {part} example {index + 1} is too long for the model's context{more}",
            where=example.place,
            found=f"{length} tokens",
            expected=f"at most {context}",
            fix=_way_out([example for *_, example, _ in found], length, context),
        )


def _way_out(examples: Sequence[Example], length: int, context: int) -> str:
    words = [len(example.text.split()) for example in examples]
    limit = min(min(words) - 1, words[0] * context // length * 9 // 10)
    remove = "Remove it from the data, or use a model with a longer context (--model)."
    return f"Leave it out with --max_words {limit}. {remove}" if limit >= 20 else remove


def check_episodes(method: Method, episodes: Iterable[Episode], option: str = "--k") -> None:
    """Check that the prompts of episodes fit into the model's context.

    Raises:
        TooLong: names the task and the longest of the episode's examples.
    """
    context = method.backbone.context
    for e in episodes:
        used = (*e.support, *e.queries)
        if sum(_bytes(e.task, example) for example in used) <= context:
            continue
        length = method.longest(e.task, e.support, e.queries)
        if length <= context:
            continue
        k, longest = len(e.support), max(used, key=lambda example: len(example.text))
        fits = next((n for n in range(k - 1, 0, -1) if method.longest(e.task, e.support[:n], e.queries) <= context), 0)
        lower = f"Lower {option} (this one fits with {fits}), or leave" if fits else "Leave"
        words = len(longest.text.split()) - 1
        raise TooLong(
            f"task {e.task.name}: an episode with {counted(k, 'demonstration')} does not fit the model's context",
            where=_place(e.task, longest),
            found=f"{length} tokens",
            expected=f"at most {context}",
            fix=f"{lower} out long examples with --max_words (its longest has {words + 1} words).",
        )


def _examples(tasks: Sequence[Task], validated: Sequence[Task]) -> Iterator[tuple[Task, str, int, Example]]:
    """Yield (task, part, index, example) of all that meta-training and its validation can draw."""
    for task, parts in (*((t, ("train",)) for t in tasks), *((t, ("train", "test")) for t in validated)):
        for part in parts:
            for index, example in enumerate(task.examples(part)):
                yield task, part, index, example


def _place(task: Task, example: Example) -> str | None:
    """Where an example was read from; one with other label words is found by its content."""
    same = (task.examples(part)[i] for part in ("train", "test") for i in task.index(part).find([example.content]))
    return example.place or next((found.place for found in same), None)


def _bytes(task: Task, example: Example) -> int:
    """About the most tokens that an example takes of a prompt: no token is shorter than a byte, and a format may write
    the input twice, the options, and some words around them."""
    options = sum(map(len, example.options or task.labels))
    text = example.text + (example.output or "") + task.instruction
    return 2 * len(text.encode()) + 4 * options + 200
