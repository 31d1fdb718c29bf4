"""Which study of `metaicl tune` a folder holds, and whether another start may continue it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from eval.config import TuneRun
from eval.hyperparameters import FILE
from metaicl.training.config import TrainRun
from metaicl.training.identity import Identity, differences, identity_of, table
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError
from task_suites.core.json_files import read_json
from task_suites.provenance import data_record
from task_suites.task import TaskSuite

STUDY = "study.json"  # in a study's folder: what all of its trials share
OF_A_STUDY = (STUDY, "trials.log", "trials.jsonl", FILE)  # a folder with one of them is not free


def claim_study(run: TuneRun, training: TrainRun, space: Mapping[str, Sequence[Any]], suite: TaskSuite) -> None:
    """Record in the study's folder which study it is. The number of trials may grow from one start to the next.

    Args:
        training: what a trial trains, but for what is tuned.
        space: what is tuned, and how far.

    Raises:
        UserError: the folder holds another study, whose trials would be taken for this one's.
    """
    now = study_identity(run, training, space, suite)
    folder, path = run.folder, run.folder / STUDY
    way_out = f"Give this study another --output_dir, or delete {folder}."
    if path.is_file():
        then = read_json(path)
        if not isinstance(then, dict):
            raise UserError("this is not the record of a study", where=path, found=type(then).__name__, fix=way_out)
        if differing := differences(then, now):
            raise UserError(f"{folder} holds another study than this one:\n{table(differing)}\n{way_out}")
    elif held := [name for name in OF_A_STUDY if (folder / name).exists()]:
        raise UserError(f"{folder} holds {', '.join(held)}, but no {STUDY} that says of which study. {way_out}")
    else:
        write_text(path, json.dumps(now, ensure_ascii=False, indent=1) + "\n")


def study_identity(run: TuneRun, training: TrainRun, space: Mapping[str, Sequence[Any]], suite: TaskSuite) -> Identity:
    """Return every option that decides what a trial is worth and which trial comes next, by its name on the command
    line."""
    return {
        **identity_of(training, suite, data_record(suite.tasks.values())),
        **{f"validation_{name}": value for name, value in asdict(run.validation).items()},
        **{f"space.{name}": list(limits) for name, limits in space.items()},
        "sampler_seed": run.sampler_seed,
        "budget_seconds": run.budget_seconds,
    }
