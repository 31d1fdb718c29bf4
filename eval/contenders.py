"""What is compared: methods by name or from the folder of a training, each with a name and a label of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from eval.answering import make_validate
from eval.fingerprints import answers_print
from eval.method_on_model import MethodOnModel
from metaicl.lm.config import ENCODER, BackboneConfig
from metaicl.lm.kinds import AnyBackbone, load_backbone
from metaicl.lm.pulling import pull
from metaicl.lm.released import RELEASED
from metaicl.methods import method_class
from metaicl.methods.base import Method
from metaicl.training.checkpoint import CARD, MethodConfig, load_method, read_card, read_training, trained_folder
from metaicl.training.config import TrainRun
from metaicl.training.run import train_run
from task_suites.core.atomic import write_text
from task_suites.core.errors import UserError
from task_suites.core.files import sha256
from task_suites.core.line_store import LineStore
from task_suites.formats.prompt_format import PromptFormat
from task_suites.task import TaskSuite

DONE = "finished.json"  # in the folder of a finished training


@dataclass(frozen=True)
class Contender:
    """A method in the comparison.

    Attributes:
        name: its key in the results: the method's name, or that of the run which trained it.
        label: its name in tables.
        build: makes the method, when its turn comes.
        fingerprint: of everything that its answers depend on besides the episode.
        cells: the number of (task, seed) cells that it runs at each k, evenly spread; 0 runs all.
        curve: whether it is run at ks below the largest too.
        train_seconds: what its meta-training took.
        method: the method's registry name, where `name` is another.
        folder: of the trained method.
        unknown: nothing says what it was trained on, so that its tasks may not be new to it.
        settings: the value of every option: the method's, the model's and the prompt format's.
    """

    name: str
    label: str
    build: Callable[[], Method]
    fingerprint: str
    note: str = ""
    trained: bool = False
    cells: int = 0
    curve: bool = True
    train_seconds: float | None = None
    method: str = ""
    folder: Path | None = None
    unknown: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict, compare=False)


class Backbones:
    """Backbones by configuration, each loaded once in a process (methods that are evaluated leave them as they are)."""

    def __init__(self) -> None:
        self._loaded: dict[BackboneConfig, AnyBackbone] = {}

    def __call__(self, config: BackboneConfig) -> AnyBackbone:
        config = config.resolved()
        if config not in self._loaded:
            self._loaded[config] = load_backbone(config)
        return self._loaded[config]


def contender(
    name: str,
    backbone: BackboneConfig,
    form: PromptFormat,
    backbones: Backbones,
    options: dict[str, Any] | None = None,
    cells: int = 0,
    curve: bool = True,
    encoder: str = ENCODER,
) -> Contender:
    """Return the contender from a registry name or `package.module:Name`, with @MODEL after it where it has a model,
    or from the folder of a run or of its best weights, or a released method by its name (its base model is pulled).

    Args:
        encoder: the sentence encoder of a method that runs on encoders only, where the model of `backbone` is none.

    Raises:
        UserError: an unknown name, a method that needs meta-training and is given by name, or one that does not run on
            its model.
    """
    if name in RELEASED:
        pull(name, say=print)
    if folder := trained_folder(name):
        return trained_contender(folder)
    one = MethodOnModel.of(name)
    cls = method_class(one.method)
    if cls.meta_trained:
        place = TrainRun(method=one.method).folder
        raise UserError(
            f"method {one.method} is meta-trained before it is compared",
            fix=f"Run: metaicl train --method {one.method}, then give its folder, {place}.",
        )
    config = MethodConfig(one.method, options or {}, one.backbone(backbone, encoder), form).resolved()

    def build() -> Method:
        return config.build(backbones(config.backbone))

    method = one.method if one.model else ""
    made = Contender(one.name, one.label, build, answers_print(config), cls.note, settings=asdict(config))
    return replace(made, cells=cells, curve=curve, method=method)


def trained_contender(
    folder: Path, train_seconds: float | None = None, backbone: AnyBackbone | None = None
) -> Contender:
    """Return the contender of a method saved in `folder` (on a backbone at hand, if given), named after its run."""
    config = read_card(folder)[0].resolved()
    cls = method_class(config.name)
    files = sorted(p for p in folder.iterdir() if p.suffix == ".safetensors")
    print_ = answers_print(config, *map(sha256, files))
    seconds = train_seconds if train_seconds is not None else _train_seconds(folder.parent / "metrics.jsonl")
    name = named_after(folder)
    released = name in RELEASED and folder == RELEASED[name].folder
    return Contender(
        name,
        f"{cls.label}, released" if released else cls.label,
        lambda: load_method(folder, backbone),
        print_,
        cls.note,
        trained=True,
        train_seconds=seconds,
        method=config.name,
        folder=folder,
        unknown=read_training(folder) is None,
        settings=asdict(config),
    )


def named_after(folder: Path, more: int = 0) -> str:
    """Return the name of a trained method: its run's (`runs/NAME/best`), or that of its folder, and the names of this
    many folders above before it."""
    place = folder.resolve()
    parts = (place.parent if place.name == "best" else place).parts[1:]
    return "-".join(parts[-1 - more :])


def distinct(contenders: Sequence[Contender]) -> list[Contender]:
    """Return the contenders, each with a name and a label of its own: two runs of one name are distinguished by the
    folders above them, two of one label by their names.

    Raises:
        UserError: one method, or one folder, is named twice.
    """
    given = [c.folder.resolve() if c.folder else c.name for c in contenders]
    if twice := sorted({str(one) for one in given if given.count(one) > 1}):
        raise UserError(f"methods named twice: {', '.join(twice)}", fix="Name each method, and each folder, once.")
    named, more = list(contenders), 0
    while clash := {c.name for c in named if [other.name for other in named].count(c.name) > 1}:
        more += 1
        named = [replace(c, name=named_after(c.folder, more)) if c.folder and c.name in clash else c for c in named]
    labels = [c.label for c in named]
    return [replace(c, label=f"{c.label} ({c.name})") if labels.count(c.label) > 1 else c for c in named]


def name_meant(wanted: str, contenders: Sequence[Contender]) -> str:
    """Return the name of the contender that is called `wanted`, or the first that was trained by the method
    `wanted`."""
    folders = (Path(wanted), Path(wanted) / "best")
    names = [c.name for c in contenders if c.name == wanted or c.folder in folders]
    return next(iter([*names, *(c.name for c in contenders if c.method == wanted)]), wanted)


def finished_training(run: TrainRun, print_: str, backbone: AnyBackbone | None = None) -> Contender | None:
    """Return the trained contender in the run's folder, where `train_once` finished it under this name."""
    best, done = run.folder / "best", run.folder / DONE
    if not (done.is_file() and (best / CARD).is_file()):
        return None
    before = json.loads(done.read_text())
    return trained_contender(best, before["seconds"], backbone) if before["config"] == print_ else None


def train_once(
    run: TrainRun,
    print_: str,
    suite: TaskSuite,
    say: Callable[[str], None] = print,
    backbone: AnyBackbone | None = None,
) -> Contender:
    """Train, and leave word in the run's folder that it is finished."""
    _, trained = train_run(run, make_validate, say, suite, backbone, other_aside=True, estimate=False)
    done = {"config": print_, "seconds": trained.seconds, "steps": trained.steps}
    write_text(run.folder / DONE, json.dumps(done) + "\n")
    return trained_contender(trained.folder, trained.seconds, backbone)


def _train_seconds(path: Path) -> float | None:
    seconds = [row["seconds"] for _, row in LineStore(path).read() if "seconds" in row]
    return seconds[-1] if seconds else None
