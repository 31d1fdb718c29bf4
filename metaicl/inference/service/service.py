"""What the routes call: the store, the engine, and the rules between them."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Generator, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from scipy.special import softmax

from metaicl.inference.explanation import explaining
from metaicl.inference.fitted import FittedMethod
from metaicl.inference.opening import MethodSource
from metaicl.inference.rendering import prompt_parts
from metaicl.inference.service import schemas
from metaicl.inference.service.completions import complete
from metaicl.inference.service.config import ServeRun
from metaicl.inference.service.engine import Engine, Work
from metaicl.inference.service.observe import Metrics
from metaicl.inference.service.store import TaskRecord, TaskStore
from metaicl.inference.service.tasks import extended, fitting, new_task, queries_of, served_methods
from metaicl.lm.backbone import Backbone
from metaicl.methods.base import Method
from metaicl.methods.predictor import Answer
from task_suites.core.errors import UserError
from task_suites.example import Example

LEAST = -1e9  # JSON has no infinity
EXPLAINED = 64  # demonstrations up to which an answer is explained: each costs one learning


class Service:
    """The tasks and the model of one process.

    Args:
        config: the limits, and the model.

    Raises:
        UserError: the model or the store cannot be opened.
    """

    def __init__(self, config: ServeRun):
        self.config, self.metrics = config, Metrics()
        self.method: Method = MethodSource.find(config.model, config.method).open()
        self.methods = served_methods(config.model)
        self.store = TaskStore(config.database)
        self.engine = Engine(config.memory * 2**20, config.batch, config.max_waiting, self.metrics)

    async def create(self, body: schemas.NewTask) -> TaskRecord:
        """Learn a new task and store it; it is acknowledged when it is on disk.

        Raises:
            UserError: it is unsound, or does not fit.
        """
        record = new_task(body, self.config, self.methods)
        if await asyncio.to_thread(self.store.count) >= self.config.max_tasks:
            raise UserError("there are too many tasks", found=self.config.max_tasks, fix="Delete one first.")
        await self._fitted(record)
        return await asyncio.to_thread(self.store.add, record)

    async def extend(self, task: str, body: schemas.MoreDemonstrations) -> TaskRecord:
        """Add demonstrations to a task.

        Raises:
            NoTask: there is none.
            UserError: they are unsound, or do not fit.
        """
        while True:
            record = await asyncio.to_thread(self.store.get, task)
            whole = extended(record, body.demonstrations, self.config)
            await self._fitted(whole)
            more = whole.demonstrations[len(record.demonstrations) :]
            if await asyncio.to_thread(self.store.extend, whole, more):
                return whole

    async def delete(self, task: str) -> None:
        """Delete a task.

        Raises:
            NoTask: there is none.
        """
        await asyncio.to_thread(self.store.delete, task)
        self.engine.forget(task)  # without waiting: it is deleted, whatever the model has to do

    async def predict(self, task: str, inputs: Sequence[str | schemas.Query]) -> schemas.Answers:
        """Answer inputs.

        Raises:
            NoTask: there is none.
            UserError: an input is unsound.
        """
        record = await asyncio.to_thread(self.store.get, task)
        return await self._answered(record, queries_of(record, inputs, self.config))

    async def explain(self, task: str, one: str | schemas.Query) -> schemas.Explained:
        """Answer one input and say what it rests on.

        Raises:
            NoTask: there is none.
            UserError: the method gives no probabilities, or there are too many demonstrations.
        """
        record = await asyncio.to_thread(self.store.get, task)
        (query,) = queries_of(record, [one], self.config)
        return await self._explained(record, query)

    async def attempt(self, body: schemas.Trial) -> schemas.Tried:
        """Answer inputs of a task that is not stored. Its states are kept as others are, under its content's hash.

        Raises:
            UserError: something is unsound.
        """
        task = schemas.NewTask(**body.model_dump(exclude={"inputs", "explain"}))
        content = hashlib.sha256(json.dumps(task.model_dump()).encode()).hexdigest()
        record = replace(new_task(task, self.config, self.methods), id=f"try {content}")
        queries = queries_of(record, body.inputs, self.config)
        found = await self._answered(record, queries)
        explanation = await self._explained(record, queries[0]) if body.explain else None
        return schemas.Tried(**found.model_dump(), explanation=explanation)

    async def complete(self, request: schemas.CompletionRequest) -> schemas.Completion:
        """Continue prompts.

        Raises:
            UserError: the model is a sentence encoder, or a prompt is unsound.
        """
        backbone = self.method.backbone
        if not isinstance(backbone, Backbone):
            fix = "Serve a causal language model (--model)."
            raise UserError("the model is a sentence encoder, which completes no text", fix=fix)
        name, most = self.config.model, self.config.max_inputs
        found: schemas.Completion = await self._on_model(lambda _: complete(backbone, request, name, most))
        return found

    async def _answered(self, record: TaskRecord, queries: list[Example]) -> schemas.Answers:
        work = Work(*self._key(record), queries=queries, size=len(queries))
        answers, dropped = await self.engine.do(work, self.config.timeout)
        found = [_answer(query, answer) for query, answer in zip(queries, answers, strict=True)]
        return schemas.Answers(answers=found, dropped=dropped)

    async def _explained(self, record: TaskRecord, query: Example) -> schemas.Explained:
        if len(record.demonstrations) > EXPLAINED:
            count = len(record.demonstrations)
            raise UserError("too many demonstrations to explain", found=count, expected=f"at most {EXPLAINED}")

        work = Work(*self._key(record), run=lambda fitted: _explanation(fitted, query))
        found: schemas.Explained = await self.engine.do(work, self.config.timeout)
        return found

    async def _fitted(self, record: TaskRecord) -> None:
        await self.engine.do(Work(*self._key(record), run=lambda fitted: None), self.config.timeout)

    async def _on_model(self, run: Any) -> Any:
        return await self.engine.do(Work(("", ""), None, run=run), self.config.timeout)

    def _key(self, record: TaskRecord) -> tuple[tuple[str, str], Any]:
        """Return (the key of its works, what makes it fitted)."""
        rows = [one.row() for one in record.demonstrations]
        content = json.dumps([record.instruction, record.method, record.options, record.labels, rows])
        return (record.id, hashlib.sha256(content.encode()).hexdigest()), fitting(record, self.config)


def _explanation(fitted: FittedMethod, query: Example) -> Generator[None, None, schemas.Explained]:
    found = yield from explaining(fitted, query)
    changes = [schemas.InfluenceOf(demonstration=i, change=d.change) for i, d in enumerate(found.demonstrations)]
    parts = [schemas.PromptPart(**asdict(part)) for part in prompt_parts(fitted, query)]
    return schemas.Explained(
        answer=found.answer, logprob=max(found.logprob, LEAST), demonstrations=changes, prompt=parts
    )


def _answer(query: Example, answer: Answer) -> schemas.OneAnswer:
    text = list(answer.text) if isinstance(answer.text, tuple) else answer.text
    if answer.scores is None:
        return schemas.OneAnswer(answer=text)
    shares = softmax(np.asarray(answer.scores, np.float64)).tolist()
    return schemas.OneAnswer(answer=text, probabilities=dict(zip(query.options or (), shares, strict=True)))
