"""Which run a folder holds, and whether another start may continue it.

A run is what decides its result: the method and its options, the prompt format, the base model, the adapters, the tasks
with their sides, the outer loop, how it is validated, the seed. `identity_of` resolves each of these to a value, by
name; `run.json` in the run's folder keeps them. A start with other values is another run: it is refused before a byte
of the folder changes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from metaicl.lm import models, tiny
from metaicl.lm.config import BackboneConfig
from metaicl.lm.configuration import commit_of
from metaicl.lm.devices import device_for, settled
from metaicl.lm.text_encoder import ENCODING
from metaicl.training.config import TrainerConfig, TrainRun
from metaicl.training.resolved import resolved
from task_suites.core.atomic import write_text
from task_suites.core.columns import columns
from task_suites.core.errors import UserError, reason_of
from task_suites.provenance import Record, prompt_fingerprint
from task_suites.task import META_SPLITS, TaskSuite

RUN = "run.json"
OF_A_RUN = (RUN, "config.yaml", "metrics.jsonl", "checkpoints", "best")  # a folder with one of them is not free
# These change speed, memory or what is written, but not the run: a step is the same up to the rounding of its sums.
FREE = (
    *("logging_steps", "save_steps", "row_tokens", "peer_timeout"),
    *("attn_implementation", "gradient_checkpointing", "device", "use_liger_kernel"),
)
SHOWN = 8  # options that the table of a refusal shows
WIDTH = 48  # characters of a value in that table

Identity = Mapping[str, Any]  # option -> its resolved value, as JSON has it


@dataclass(frozen=True)
class Finished:
    """How a run ended: steps, the step and the validation value of its best weights, the seconds that it took, and the
    weights of its tasks where they were learned (mixing "group_dro")."""

    steps: int
    best_step: int
    best_value: float | None
    seconds: float
    mixing_weights: Mapping[str, float] | None = None


@dataclass(frozen=True)
class Training:
    """What a trained method's folder says of its training.

    Attributes:
        run: the run's identity.
        data: every task of its suite.
        trained_on: the tasks that it learned from, and those that its base model had been meta-trained on.
    """

    run: Identity
    data: Record
    trained_on: Record


@dataclass(frozen=True)
class RunRecord:
    """What `run.json` holds.

    Attributes:
        identity: what the run is.
        data: source, licence and fingerprint of each task of its suite.
        manifest: versions, machine and command of the start that wrote it.
        inherited: tasks that the base model had been meta-trained on before; None where nothing says which.
        finished: how it ended, or None.
    """

    identity: Identity
    data: Record
    manifest: Mapping[str, Any]
    inherited: Record | None
    finished: Finished | None = None

    def training(self, trained_on: Iterable[str]) -> Training | None:
        """Return what the folder of a method says that learned from the tasks `trained_on`; None where nobody knows
        what its base model was trained on, so that its own provenance is unknown too."""
        if self.inherited is None:
            return None
        learned = {name: self.data[name] for name in trained_on}
        earlier = {name if name not in learned else f"{name} (base model)": of for name, of in self.inherited.items()}
        return Training(self.identity, self.data, {**earlier, **learned})

    def options(self) -> Identity:
        """Return the run's options by name, without the fingerprints of its tasks."""
        return {name: value for name, value in self.identity.items() if not name.startswith("task.")}

    def write(self, folder: Path) -> None:
        """Write `run.json`, whole or not at all."""
        write_text(folder / RUN, json.dumps(asdict(self), ensure_ascii=False, indent=1) + "\n")


def read_record(folder: Path) -> RunRecord | None:
    """Return the record of the run in `folder`, or None where it has none.

    Raises:
        UserError: the file is not a run's record.
    """
    path = folder / RUN
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise TypeError("not an object")
        ended = values.pop("finished")
        record = RunRecord(**values, finished=Finished(**ended) if ended else None)
        record.identity["max_steps"]  # what every record must have
        return record
    except (ValueError, KeyError, TypeError) as error:
        fix = "Give the run another --output_dir, or delete the folder."
        raise UserError(f"not the record of a run: {reason_of(error)}", where=path, fix=fix) from None


def changed_surroundings(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return in what the versions and the machine of two manifests differ, as a sentence; None where they do not."""
    before, after = (
        {"python": m.get("python"), **(m.get("versions") or {}), "on": m.get("machine")} for m in (then, now)
    )
    names = [name for name, value in before.items() if value is not None and value != after.get(name)]
    if not names:
        return None
    began, goes_on = (", ".join(f"{name} {of.get(name)}" for name in names) for of in (before, after))
    return (
        f"The run began with {began}, and goes on with {goes_on}: its last digits may differ from those of one start."
    )


def identity_of(run: TrainRun, suite: TaskSuite, data: Record) -> Identity:
    """Return every option that decides a run's result, resolved, by its name on the command line."""
    run, base = resolved(run), models.lasting_name(run.backbone.model)
    backbone = settled(run.backbone, device_for(run.backbone))
    parts: dict[str, Identity] = {
        "method_options.": run.method_options,
        "format.": asdict(run.format),
        "": {**asdict(replace(backbone, model=base)), **_outer_loop(run.trainer, suite)},
        "model.": model_identity(run.backbone),
        "validation_": asdict(run.validation) if run.trainer.eval_steps else {},
        "task.": _tasks(suite, data),
    }
    own = {"method": run.method, "encoding": ENCODING, "max_words": run.suite.max_words}
    flat = own | {f"{before}{name}": v for before, of in parts.items() for name, v in of.items()}
    return json.loads(json.dumps(flat, default=_name_of))  # type: ignore[no-any-return]


def _outer_loop(trainer: TrainerConfig, suite: TaskSuite) -> Identity:
    """Return the options of the outer loop; weights of families or suites as those of their tasks, wherever the suites
    lie."""
    values = asdict(trainer)
    if values.pop("mixing_weights_by") != "task" and trainer.mixing == "weights":
        mixing, tasks = trainer.task_mixing(), suite.split("meta_train")
        mixing.check(tasks)
        values["mixing_weights"] = mixing.chances(tasks)
    return values


def _tasks(suite: TaskSuite, data: Record) -> dict[str, str]:
    """Return each task's side and a fingerprint of all that prompts are made from."""
    side = {task.name: name for name in META_SPLITS for task in suite.split(name)}
    return {
        name: f"{side.get(name, 'in no split')} {prompt_fingerprint(task, data[name]['fingerprint'])}"
        for name, task in sorted(suite.tasks.items())
    }


def model_identity(config: BackboneConfig) -> dict[str, str]:
    """Return a hub model's commit, or a hash over the files of a model's folder.

    Raises:
        UserError: there is no such model.
    """
    if config.model in tiny.NAMES:
        weights = (tiny.tiny_model() if config.model == tiny.NAME else tiny.tiny_encoder()).state_dict()
        return {"sha256": _hash(*(value.numpy().tobytes() for value in weights.values()))}
    source = models.resolve(config.model)
    if not Path(source).is_dir():
        return {"commit": commit_of(source, config.on_hub())}
    is_encoder = (Path(source) / models.MODULES).is_file()
    parts = "**/*" if is_encoder else "*"  # an encoder's modules lie in folders of their own
    paths = sorted(path for path in Path(source).glob(parts) if path.is_file())
    files = [(path, path.relative_to(source).as_posix(), path.stat()) for path in paths]
    return {"sha256": _hash_of_files(tuple((p, name, s.st_size, s.st_mtime_ns) for p, name, s in files))}


@lru_cache(maxsize=8)
def _hash_of_files(files: Sequence[tuple[Path, str, int, int]]) -> str:
    """Over the names, sizes and bytes of files, given with these and their times: unchanged ones are read once."""
    digest = hashlib.sha256()
    for path, name, size, _ in files:
        digest.update(f"{name} {size}\n".encode())
        with path.open("rb") as data:
            while block := data.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def earlier_run(folder: Path, now: Identity) -> RunRecord | str | None:
    """Return the record of the run in `folder` where it is the run `now`; why it cannot be continued where it is not;
    None where the folder is free.

    Raises:
        UserError: the folder's record cannot be read.
    """
    record = read_record(folder)
    if record is None:
        held = [name for name in OF_A_RUN if (folder / name).exists()]
        if (folder / "results.json").is_file():
            return f"{folder} holds a comparison. Give this run another --output_dir."
        what = f"{folder} holds {', '.join(held)}, but no {RUN} that says of which run. "
        return what + _ways_out(folder) if held else None
    differing = differences(record.identity, now)
    if not differing or adds_steps(record.identity, now, differing):
        return record
    return f"{folder} holds another run than this one:\n{table(differing)}\n{_hint(differing, folder)}"


def differences(then: Identity, now: Identity) -> dict[str, tuple[Any, Any]]:
    """option -> (its value then, its value now), where they differ and the run would too; None stands for no value."""
    names = [name for name in (*now, *(n for n in then if n not in now)) if name not in FREE]
    groups = list(dict.fromkeys(name.partition(".")[0] for name in names))  # options of one thing stand together
    names.sort(key=lambda name: groups.index(name.partition(".")[0]))
    return {n: (then.get(n), now.get(n)) for n in names if then.get(n) != now.get(n) or (n in then) != (n in now)}


def adds_steps(then: Identity, now: Identity, differing: Iterable[str]) -> bool:
    """Return whether `now` is the run `then` with more steps, and the steps done are the first ones of that longer run.

    They are where no rate, mean or validation of theirs depended on the number of steps.
    """
    steps, every = then["max_steps"], now["eval_steps"]
    return (
        list(differing) == ["max_steps"]
        and now["max_steps"] > steps
        and now["lr_scheduler_type"] == "constant"
        and now["weight_averaging"] == 0
        and (not every or steps % every == 0)
    )


def table(differing: Mapping[str, tuple[Any, Any]]) -> str:
    """Options that differ as text: option, then, now; the first `SHOWN` of them."""
    rows = [(name, *_cut(as_line(then), as_line(now))) for name, (then, now) in list(differing.items())[:SHOWN]]
    lines = [f"  {line}" for line in columns(("option", "then", "now"), rows)]
    if len(differing) > SHOWN:
        lines.append(f"  and {len(differing) - SHOWN} more")
    return "\n".join(lines)


def _cut(then: str, now: str) -> tuple[str, str]:
    """Both texts short enough for the table, from a little before the first character that differs."""
    same = next((i for i, (a, b) in enumerate(zip(then, now, strict=False)) if a != b), min(len(then), len(now)))
    start = max(0, same - WIDTH // 3) if max(len(then), len(now)) > WIDTH else 0

    def part(text: str) -> str:
        shown = text[start : start + WIDTH]
        return f"{'...' if start else ''}{shown}{'...' if start + WIDTH < len(text) else ''}"

    return part(then), part(now)


def _hint(differing: Mapping[str, tuple[Any, Any]], folder: Path) -> str:
    more = (
        "A run takes more steps where lr_scheduler_type is constant, weight_averaging is 0, and the "
        "steps that it has are a multiple of eval_steps. "
    )
    return (more if list(differing) == ["max_steps"] else "") + _ways_out(folder)


def _ways_out(folder: Path) -> str:
    return (
        f"Give this run another --output_dir, or delete {folder}, or add --no-resume: "
        "that moves the folder aside and trains from the first step."
    )


def as_line(value: Any) -> str:
    """Return an option's value in a line: a dash where it is absent, a plain text as it is, else JSON."""
    if value is None:
        return "-"
    plain = isinstance(value, str) and value.isprintable() and value == value.strip() != ""
    return str(value) if plain else json.dumps(value, ensure_ascii=False)


def _name_of(value: Any) -> str:
    return str(getattr(value, "__qualname__", type(value).__qualname__))


def _hash(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
