"""Write the pages of reference from the program itself, so that they cannot differ from it.

    python docs/reference.py

makes docs/reference/: every command's help, every method with its options, the public Python names (mkdocstrings puts
their docstrings in when the site is built).
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import redirect_stdout, suppress
from pathlib import Path

from metaicl.cli.main import COMMANDS, main
from metaicl.methods import METHODS

FOLDER = Path(__file__).parent / "reference"
PYTHON = {
    "Commands as functions": (
        "metaicl.cli.functions.train",
        "metaicl.cli.functions.evaluate",
        "metaicl.cli.functions.predict",
        "metaicl.cli.functions.load_suite",
    ),
    "Runs": ("metaicl.training.finished.Run",),
    "Tasks": ("task_suites.example.Example", "task_suites.task.Task", "task_suites.task.TaskSuite"),
    "Episodes": ("task_suites.episodes.Episode", "task_suites.episodes.EpisodeSampler"),
    "Prompts": ("task_suites.formats.prompt_format.PromptFormat",),
    "Methods": ("metaicl.methods.base.Method", "metaicl.methods.predictor.Predictor"),
    "Inference": ("metaicl.inference.classifier.FewShotClassifier",),
    "Results": ("eval.results.Results", "eval.results.MethodResult", "eval.cells.Cell", "eval.cells.Refusal"),
    "Testing": ("metaicl.testing.check_method", "metaicl.testing.check_source", "metaicl.testing.ScriptedMethod"),
    "Errors": ("task_suites.core.errors.UserError",),
}


def said(*words: str) -> str:
    """What a command prints, as a block of text."""
    with redirect_stdout(io.StringIO()) as out, suppress(SystemExit):  # --help exits
        main(list(words))
    return f"```text\n{out.getvalue().rstrip()}\n```"


def page(title: str, sections: Iterable[tuple[str, str]]) -> str:
    """A page with a section for each (heading, text)."""
    return "\n\n".join([f"# {title}", *(f"## {heading}\n\n{text}" for heading, text in sections)]) + "\n"


def pages() -> dict[str, str]:
    """The text of each page by its name."""
    return {
        "commands": page("Commands", [(name, said(name, "--help")) for name in COMMANDS]),
        "methods": page(
            "Methods and their options",
            [("All", said("methods", "list")), *((name, said("methods", "show", name)) for name in METHODS)],
        ),
        "python": page(
            "Python", [(title, "\n\n".join(f"::: {name}" for name in names)) for title, names in PYTHON.items()]
        ),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, text in pages().items():
        (FOLDER / f"{name}.md").write_text(text, encoding="utf-8")
