"""A paper's protocol and its published numbers, as a file of `published/` has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from metaicl.methods import method_class
from task_suites.core.errors import UserError, nearest
from task_suites.formats.prompt_format import PromptFormat

FOLDER = Path(__file__).parent / "published"
PAPERS = tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@dataclass(frozen=True)
class Row:
    """A row of the paper's table.

    Attributes:
        name: as the paper has it.
        method: a name of the registry. One that is meta-trained is trained first.
        options: the method's own.
        channel: whether the input is scored given the answer.
        answers_as: the method that answers with published weights, where they are at hand.
        weights: what meta-training learns, where it is not what the paper's other rows learn.
        published: setting -> the published mean, and the worst over seeds where the row has demonstrations.
    """

    name: str
    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    channel: bool | None = None
    answers_as: str = ""
    weights: Literal["lora", "full"] | None = None
    published: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def slug(self) -> str:
        """The name as a part of a path."""
        return "-".join(self.name.lower().replace("+", " ").split())

    @property
    def trained(self) -> bool:
        return method_class(self.method).meta_trained

    @property
    def demonstrated(self) -> bool:
        """Whether the answers depend on demonstrations, and so on the seed."""
        return bool(getattr(method_class(self.method).configured(self.options), "demonstrations", True))


@dataclass(frozen=True)
class Published:
    """A paper's protocol.

    Attributes:
        title, paper, source: what it is called, the paper, and where the numbers stand.
        model: the base model.
        metrics: setting -> how a task is scored (`eval.reproduce.table.METRICS`).
        suite: the evaluated tasks, by the name of a suite with {data}, {setting} and {seed} in it.
        training_suite: the tasks of meta-training, in the same way; those of `suite` where it is empty.
        support: "files" shows all examples of a seed's train file in their order, "drawn" draws k of them.
        k, seeds: demonstrations, and the paper's seeds of them.
        example_tokens: an example's input is cut so that the example has at most this many tokens; 0 cuts nothing.
        rows: of the table of results.
        setting_files: settings that this package has under another name.
        format: fields of the prompt format.
        options: of every row's method that has them.
        trained_options: of the meta-trained ones.
        weights: what meta-training learns.
        training: options of the trainer.
        epochs: where it is set, max_steps are this number of passes over the training examples.
        notes: where we cannot do as the paper did.
    """

    title: str
    paper: str
    source: str
    model: str
    metrics: Mapping[str, str]
    suite: str
    support: str
    k: int
    seeds: Sequence[int]
    rows: Mapping[str, Row]
    training_suite: str = ""
    example_tokens: int = 0
    setting_files: Mapping[str, str] = field(default_factory=dict)
    format: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    trained_options: Mapping[str, Any] = field(default_factory=dict)
    weights: Literal["lora", "full"] = "full"
    training: Mapping[str, Any] = field(default_factory=dict)
    epochs: int = 0
    notes: Sequence[str] = ()

    @classmethod
    def read(cls, paper: str) -> Published:
        """Return the protocol of a paper.

        Raises:
            UserError: it is none of `PAPERS`.
        """
        if paper not in PAPERS:
            raise UserError(f"no protocol of the paper {paper!r}", fix=nearest(paper, PAPERS))
        given = yaml.safe_load((FOLDER / f"{paper}.yaml").read_text(encoding="utf-8"))
        rows = {name: Row(name, **row) for name, row in given.pop("rows").items()}
        return cls(**given, rows=rows)

    def chosen(self, names: Sequence[str]) -> list[Row]:
        """Return the rows of these names, all where none is named.

        Raises:
            UserError: the paper has no such row.
        """
        for name in names:
            if name not in self.rows:
                raise UserError(f"{self.title} has no row {name!r}", fix=nearest(name, self.rows))
        return [row for name, row in self.rows.items() if not names or name in names]

    def check_setting(self, setting: str) -> None:
        """Raise where the paper has no such setting.

        Raises:
            UserError: names those that there are.
        """
        if setting not in self.metrics:
            fix = nearest(setting, self.metrics)
            raise UserError(f"{self.title} has no setting {setting!r}", expected=", ".join(self.metrics), fix=fix)

    def prompt_format(self, row: Row) -> PromptFormat:
        """Return how a row's prompts are written."""
        return PromptFormat(**{**self.format, "channel": row.channel})

    def options_of(self, row: Row, method: str) -> dict[str, Any]:
        """Return the options of a row's method, without those that it does not have."""
        cls = method_class(method)
        general = {**self.options, **(self.trained_options if cls.meta_trained else {})}
        known = cls.Config.__dataclass_fields__
        return {name: value for name, value in {**general, **row.options}.items() if name in known}
