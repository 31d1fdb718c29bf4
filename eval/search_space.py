"""What a study of `metaicl tune` may choose from: a range for each hyperparameter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from eval.config import TuneRun
from eval.hyperparameters import OPTION, TRAINER
from metaicl.methods import method_class
from metaicl.methods.base import RATE
from task_suites.core.errors import UserError, nearest

if TYPE_CHECKING:
    from optuna import Trial

Range = Sequence[Any]  # ("float" | "log" | "int", low, high), or ("choice", value, value, ...)


@dataclass(frozen=True)
class SearchSpace:
    """A range for each hyperparameter, by name: an option of training, or `options.NAME` of the method.

    Raises:
        UserError: an unknown name, or a range that is none.
    """

    ranges: Mapping[str, Range]

    def __post_init__(self) -> None:
        for name, limits in self.ranges.items():
            if name not in TRAINER and not name.startswith(OPTION):
                raise UserError(f"space: unknown setting {name!r}", fix=f"{nearest(name, TRAINER)} Or options.NAME.")
            kind = limits[0] if limits else None
            right = len(limits) >= 2 if kind == "choice" else len(limits) == 3 and limits[1] < limits[2]
            if kind not in ("float", "log", "int", "choice") or not right:
                expected = "[float | log | int, low, high] or [choice, value, ...]"
                raise UserError(f"space: the value of {name} is not a range", found=list(limits), expected=expected)

    @classmethod
    def of(cls, run: TuneRun) -> SearchSpace:
        """Return the space that the user gives, else the method's own.

        Raises:
            UserError: there is nothing to tune, or what the class raises.
        """
        method = method_class(run.method)
        ranges = run.space or method.space or (RATE if method.meta_trained else {})
        if not ranges:
            fix = f"Name options of {run.method} with their values: --space 'options.NAME=[choice, VALUE, VALUE]'."
            raise UserError(f"{run.method} has no range to search by default", fix=fix)
        return cls(dict(ranges))

    def suggest(self, trial: Trial) -> dict[str, Any]:
        """Return a value for each hyperparameter, as the trial's sampler proposes it."""
        return {name: _suggest(trial, name, limits) for name, limits in self.ranges.items()}

    def defaults(self, run: TuneRun) -> dict[str, Any]:
        """Return the values that the method has without tuning, as far as they are known and lie in the space."""
        options = method_class(run.method).configured(run.method_options).to_dict()
        given = {f"{OPTION}{name}": value for name, value in options.items()} | asdict(run.trainer.resolved())
        return {name: given[name] for name, limits in self.ranges.items() if name in given and _in(given[name], limits)}


def _in(value: Any, limits: Range) -> bool:
    """Return whether a value lies in a range."""
    kind, *values = limits
    return value in values if kind == "choice" else values[0] <= value <= values[1]


def _suggest(trial: Trial, name: str, limits: Range) -> Any:
    """Return a trial's proposal for one hyperparameter."""
    kind, *values = limits
    if kind == "choice":
        return trial.suggest_categorical(name, values)
    if kind == "int":
        return trial.suggest_int(name, *values)
    return trial.suggest_float(name, *values, log=kind == "log")
