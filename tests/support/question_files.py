"""What a file of questions holds, read whole."""

from __future__ import annotations

from typing import Any

from metaicl.inference.questions import Questions
from task_suites.example import Example


def queries_of(questions: Questions) -> list[Example]:
    return [query for query, _ in questions.read()]


def rows_of(questions: Questions) -> list[dict[str, Any]]:
    return [row for _, row in questions.read()]
