"""A method at work on the episodes of a comparison: what is drawn, what it answers, and its score."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean

from eval.cells import Cell, Prediction, Refusal
from eval.config import Protocol
from eval.fingerprints import hashed
from eval.metrics import closest, score
from eval.probes import probed
from eval.store import Store
from metaicl.lm.shared_work import saved_seconds
from metaicl.methods.base import Method
from metaicl.methods.predictor import Answer
from metaicl.training.config import ValidationConfig
from metaicl.training.preflight import validation_episodes
from task_suites.core.values import plain
from task_suites.demonstrations import fixed_support
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.example import Example
from task_suites.provenance import prompt_fingerprint
from task_suites.retrieval import Retriever, retrieved_episodes
from task_suites.task import Task


def protocol_episodes(
    protocol: Protocol,
    task: Task,
    seed: int,
    k: int,
    retriever: Retriever | None = None,
    others: Sequence[Task] = (),
) -> list[Episode]:
    """Return the episodes of one cell, the same for every method: one, or one for each query where demonstrations are
    retrieved (by `retriever`, which is made where none is given). A probe changes the demonstrations; of the tasks
    `others` one lends its inputs, where that is requested."""
    drawn = _drawn_episodes(protocol, task, seed, k, retriever)
    return [probed(protocol, episode, others) for episode in drawn]


def _drawn_episodes(protocol: Protocol, task: Task, seed: int, k: int, retriever: Retriever | None) -> list[Episode]:
    """Return the episodes of one cell, with demonstrations as they were drawn."""
    sampler = EpisodeSampler(seed, k, protocol.queries, per_class=protocol.per_class, stratified=protocol.stratified)
    if protocol.retrieval:
        retriever = retriever or Retriever(task, protocol.retrieval, protocol.diversity)
        return retrieved_episodes(sampler, task, "test", 0, retriever)
    fixed = protocol.demonstrations.get(task.name)
    return [sampler.draw(task, "test", 0, None if fixed is None else fixed_support(task, fixed, k))]


def protocol_episode(protocol: Protocol, task: Task, seed: int, k: int, others: Sequence[Task] = ()) -> Episode:
    """Return the episode of one cell, or its first one."""
    return protocol_episodes(protocol, task, seed, k, others=others)[0]


@dataclass(frozen=True)
class Answered:
    """What a method did with one episode: its answers, their score in [0, 1] by the task's metric, the demonstrations
    that it dropped, and the seconds of learning from the support set and of answering all queries afterwards."""

    answers: list[Answer]
    score: float
    dropped: int
    adapt_seconds: float
    query_seconds: float


def answer_episode(method: Method, episode: Episode) -> Answered:
    """Adapt to the support set and answer the queries, which go in without their answers.

    What another method has done already counts with the seconds that it took then.
    """
    started = _clock()
    predictor = method.predictor_for(episode.task, episode.support)
    predictor.prepare()
    adapted = _clock()
    answers = predictor.answers([q.hidden() for q in episode.queries])
    ended = _clock()
    value = _score(episode.task, answers, episode.queries)
    return Answered(answers, value, predictor.dropped, adapted - started, ended - adapted)


def _clock() -> float:
    """Return a time in seconds that continues as if nothing were shared between methods."""
    return time.monotonic() + saved_seconds()


def answer_episodes(method: Method, episodes: Sequence[Episode]) -> Answered:
    """`answer_episode` for each of a cell's episodes, put together: one score over all queries, times added up."""
    done = [answer_episode(method, episode) for episode in episodes]
    if len(done) == 1:
        return done[0]
    answers = [a for part in done for a in part.answers]
    value = _score(episodes[0].task, answers, [q for episode in episodes for q in episode.queries])
    dropped = sum(part.dropped for part in done)
    return Answered(answers, value, dropped, sum(p.adapt_seconds for p in done), sum(p.query_seconds for p in done))


def truth(query: Example) -> str | tuple[str, ...]:
    """Return the right answer of a query: its output, or its tags. Others may be in `accepted`."""
    return (query.tags if query.form == "tags" else query.output) or ""


def _score(task: Task, answers: Sequence[Answer], queries: Sequence[Example]) -> float:
    accepted = [q.accepted for q in queries]
    return score(task.metric, [a.text for a in answers], [truth(q) for q in queries], accepted)


def make_validate(tasks: list[Task], config: ValidationConfig) -> Callable[[Method], dict[str, float]]:
    """Return a function that gives a method's score on each task, the mean over its support sets, answered as at test,
    calibration included."""
    episodes = {task.name: list(validation_episodes([task], config)) for task in tasks}

    def validate(method: Method) -> dict[str, float]:
        return {name: fmean(answer_episode(method, e).score for e in drawn) for name, drawn in episodes.items()}

    return validate


def validation_cells(
    method: Method,
    name: str,
    fingerprint: str,
    tasks: Sequence[Task],
    config: ValidationConfig,
    store: Store[Cell | Refusal],
) -> list[Cell]:
    """Return a method's cells on meta-validation tasks. Those that the store lacks are answered now, and stored.

    Args:
        name: the method's name in the cells.
        fingerprint: a hash of everything that the method's answers depend on besides the episode.

    Raises:
        UserError: an episode cannot be answered.
    """
    cells = []
    for task in tasks:
        for seed, episode in enumerate(validation_episodes([task], config)):
            parts = [fingerprint, prompt_fingerprint(task), asdict(config), seed]
            key = hashed(parts)[:24]
            if key not in store:
                store.add(answered_cell(name, [episode], seed, config.k, answer_episode(method, episode), key))
            found = store[key]
            assert isinstance(found, Cell)  # refusals are not stored here
            cells.append(found)
    return cells


def answered_cell(method: str, episodes: Sequence[Episode], seed: int, k: int, done: Answered, key: str) -> Cell:
    """Return the cell of a method that has answered a task's episodes."""
    task, queries = episodes[0].task, [q for episode in episodes for q in episode.queries]
    return Cell(
        method,
        task.name,
        seed,
        k,
        score=done.score,
        metric=task.metric,
        n=len(queries),
        seconds=done.adapt_seconds + done.query_seconds,
        adapt_seconds=done.adapt_seconds,
        dropped=done.dropped,
        predictions=tuple(_prediction(task, q, a) for q, a in zip(queries, done.answers, strict=True)),
        key=key,
    )


def _prediction(task: Task, query: Example, answer: Answer) -> Prediction:
    """Return an answer as it is stored, with the right one."""
    return Prediction(
        input=query.text,
        options=list(query.options) if query.options else None,
        scores=None if answer.scores is None else [round(float(s), 5) for s in answer.scores],
        answer=plain(answer.text),
        truth=plain(closest(task.metric, answer.text, truth(query), query.accepted)),
    )
