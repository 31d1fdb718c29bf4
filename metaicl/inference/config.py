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
    """Answer new inputs from a file of demonstrations; one JSON object a line on standard output.

    Attributes:
        demos: JSON lines with answers: {"input", "output"}, with "options" for multiple choice, {"tokens", "tags"};
            or a CSV, TSV, Parquet or Arrow file with these columns.
        inputs: the same without answers; - reads JSON lines from standard input.
        model: a run's folder, or a name of `metaicl models list`. Unset: smollm2-135m-metaicl for answers among
            options, and smollm2-135m for others, with a method or with an instruction.
        method: for a base model: a method that needs no meta-training (default icl; on a sentence
            encoder prototypes_names).
        instruction: what to do; it heads the prompts.
        method_options: options of the method, such as shown=16 selection=nearest calibration=cross_fit.
        input_column: the column, or the key of JSON lines, that holds the input. Unset: input or text.
        output_column: that of the demonstrations' answers. Unset: output, label or answer.
        output: a file for the answers: JSON lines, CSV or Parquet by its ending. The same command continues one that
            was interrupted. A table has one column for each label's score.
        probabilities: also write the softmax of the scores.
        at_least: the least probability of an answer; where the best option has less, the answer is null.
        explain: also write how each demonstration changes the answer's log-probability.
        engine: where the model runs: in this process, or on a server with /v1/completions ("vllm"), for methods that
            read prompts.
        server: the server's address. Unset: http://127.0.0.1:8000/v1.
        server_model: the name under which the server serves the model. Unset: its only model.
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
        model: a run's folder, or a name of `metaicl models list`. Unset: smollm2-135m-metaicl for answers among
            options, and smollm2-135m for others, with a method or with an instruction.
        method: for a base model: a method that needs no meta-training.
        instruction: what to do; it heads the prompts.
    """

    model: str = ""
    method: str | None = None
    instruction: str = ""
