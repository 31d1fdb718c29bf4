"""The configurations of `metaicl predict` and `metaicl try`. No torch: the command line shows its help from here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from task_suites.core.errors import UserError
from task_suites.core.ranges import Share, check_ranges

SERVER = "http://127.0.0.1:8000/v1"  # where `vllm serve` listens


@dataclass(frozen=True)
class PredictRun:
    """Answer new inputs from a file of demonstrations, one JSON object a line on standard output.

    Attributes:
        demos: demonstrations, a JSON object a line: {"input", "output"}, with "options" for multiple choice, or
            {"tokens", "tags"}. A CSV, TSV, Parquet or Arrow file has these as columns.
        inputs: the inputs, in the same form without answers; - reads JSON lines from standard input.
        model: the folder of a run, or a name of `metaicl models list`. Unset: smollm2-135m-metaicl if the answers are
            options, else smollm2-135m. With a method or an instruction it is smollm2-135m too.
        method: a method that needs no meta-training, for a base model. Unset: icl; on a sentence encoder
            prototypes_names.
        instruction: a line that says what to do; it begins the prompts.
        method_options: options of the method, such as calibration=cross_fit.
        input_column: the column, or the key of JSON lines, that holds the input. Unset: input or text.
        output_column: the column or key that holds the answer of a demonstration. Unset: output, label or answer.
        output: a file for the answers: JSON lines, CSV or Parquet by its ending. The same command continues one that
            was interrupted. A table has one column for each label's score.
        probabilities: add the probability of each option, the softmax of the scores.
        at_least: answer null if the best option has a lower probability.
        explain: add how each demonstration changes the answer's log-probability.
        engine: where the model runs: in this process ("local"), or on a server with /v1/completions ("vllm"), which
            only methods that read prompts can use.
        server: the address of the server. Unset: http://127.0.0.1:8000/v1.
        server_model: the model's name on the server. Unset: its only model.
    """

    demos: Path
    inputs: Path
    model: str = ""
    method: str | None = None
    instruction: str = ""
    method_options: dict[str, Any] = field(default_factory=dict)
    input_column: str | None = None
    output_column: str | None = None
    output: Path | None = None
    probabilities: bool = False
    at_least: Share | None = None
    explain: bool = False
    engine: Literal["local", "vllm"] = "local"
    server: str | None = None
    server_model: str | None = None

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.engine == "local" and (self.server or self.server_model):
            given = "server" if self.server else "server_model"
            raise UserError(f"{given} is read only where the engine is vllm", fix="Give --engine vllm too.")


@dataclass(frozen=True)
class TryRun:
    """Try a task in the terminal: type demonstrations, then queries.

    Attributes:
        model: the folder of a run, or a name of `metaicl models list`. Unset: smollm2-135m-metaicl if the answers are
            options, else smollm2-135m. With a method or an instruction it is smollm2-135m too.
        method: a method that needs no meta-training, for a base model. Unset: icl; on a sentence encoder
            prototypes_names.
        instruction: a line that says what to do; it begins the prompts.
    """

    model: str = ""
    method: str | None = None
    instruction: str = ""
