"""Meta-train causal language models to learn new tasks from a few examples, and compare them with other methods.

This is the public interface. Each name is imported when it is first used, so `import metaicl` does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eval.results import Results
    from metaicl.cli.functions import evaluate, load_suite, predict, train
    from metaicl.inference.classifier import FewShotClassifier
    from metaicl.inference.sequences import FewShotGenerator, FewShotTagger
    from metaicl.methods.base import Method
    from metaicl.methods.predictor import Predictor
    from metaicl.training.finished import Run
    from task_suites.core.errors import UserError
    from task_suites.episodes import Episode, EpisodeSampler
    from task_suites.example import Example
    from task_suites.formats.prompt_format import PromptFormat
    from task_suites.task import Task, TaskSuite

__version__ = "0.1.0"
__all__ = [
    "Episode",
    "EpisodeSampler",
    "Example",
    "FewShotClassifier",
    "FewShotGenerator",
    "FewShotTagger",
    "Method",
    "Predictor",
    "PromptFormat",
    "Results",
    "Run",
    "Task",
    "TaskSuite",
    "UserError",
    "__version__",
    "evaluate",
    "load_suite",
    "predict",
    "train",
]
_PLACES = {
    **dict.fromkeys(("evaluate", "load_suite", "predict", "train"), "metaicl.cli.functions"),
    "FewShotClassifier": "metaicl.inference.classifier",
    **dict.fromkeys(("FewShotGenerator", "FewShotTagger"), "metaicl.inference.sequences"),
    "Method": "metaicl.methods.base",
    "Predictor": "metaicl.methods.predictor",
    "Results": "eval.results",
    "Run": "metaicl.training.finished",
    **dict.fromkeys(("Episode", "EpisodeSampler"), "task_suites.episodes"),
    **dict.fromkeys(("Task", "TaskSuite"), "task_suites.task"),
    "Example": "task_suites.example",
    "PromptFormat": "task_suites.formats.prompt_format",
    "UserError": "task_suites.core.errors",
}


def __getattr__(name: str) -> Any:
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'metaicl' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *_PLACES]
