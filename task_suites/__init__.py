"""Tasks, suites and episodes: everything about data, nothing about models (no torch, no transformers)."""

from task_suites.core.errors import UserError
from task_suites.episodes import Episode, EpisodeSampler
from task_suites.example import Example
from task_suites.sources import open_suite
from task_suites.sources.lists import from_lists
from task_suites.task import Task, TaskSuite

__all__ = ["Episode", "EpisodeSampler", "Example", "Task", "TaskSuite", "UserError", "from_lists", "open_suite"]
