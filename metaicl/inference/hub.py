"""A few-shot estimator on the Hugging Face hub: what `save` writes, a trained method's folder beside it, and a model
card made from both. Weights travel as safetensors only, and nothing that is fetched is run or unpickled."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import metaicl
from metaicl.inference.fitted import FittedMethod
from metaicl.inference.saved import FILE, INSIDE, lies_in_a_folder
from metaicl.lm.models import MODELS
from metaicl.training.checkpoint import CARD, trained_folder
from task_suites.core.errors import UserError, counted
from task_suites.core.json_files import read_json

FETCHED = ("*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "*.md")  # configuration, weights, tokenizers
PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
PIPELINES = {"FewShotClassifier": "text-classification", "FewShotTagger": "token-classification"}


def fetch(name: str, revision: str | None = None, token: str | None = None) -> Path:
    """Return the folder of an estimator: `name` itself, or a copy of what the hub has under that name.

    Raises:
        UserError: the repository does not exist, or the hub cannot be reached and no copy was kept.
    """
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    with _hub_errors(f"{name} cannot be fetched from the hub", "Give the name OWNER/NAME, or a folder that is here."):
        folder = Path(snapshot_download(name, revision=revision, token=token, allow_patterns=list(FETCHED)))
    _refuse_code(folder)
    return folder


def _refuse_code(folder: Path) -> None:
    """Raise where what was fetched names a method by its module, which opening it would import."""
    saved, trained = folder / FILE, folder / INSIDE / CARD
    named = [read_json(saved).get("parameters", {}).get("method")] if saved.is_file() else []
    named += [read_json(trained).get("name")] if trained.is_file() else []
    for method in named:
        if isinstance(method, str) and ":" in method:
            fix = f"Look at its code; {folder} is the folder to load from where you trust it."
            raise UserError(
                "the downloaded classifier runs code of another package", where=folder, found=method, fix=fix
            )


def push(folder: Path, repo: str, private: bool = False, token: str | None = None) -> str:
    """Upload a folder to a repository of models, which is made where it is not there, and return its address.

    Raises:
        UserError: the hub cannot be reached, or does not allow it.
    """
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    fix = "Sign in with `hf auth login`, or give a token that may write."
    with _hub_errors(f"{repo} cannot be written on the hub", fix):
        address = api.create_repo(repo, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Store a few-shot estimator of metaicl")
    return str(address)


def add_model(folder: Path, fitted: FittedMethod) -> None:
    """Copy the trained method that an estimator runs on into its folder, where that is not a model with a name.

    Raises:
        UserError: it holds weights that would have to be unpickled, or it needs a base model that has no name.
    """
    source = fitted.source
    if not lies_in_a_folder(source):
        return
    trained = trained_folder(source.model) or Path(source.model)
    files = [path for path in sorted(trained.iterdir()) if path.is_file()]
    if wrong := [path.name for path in files if path.suffix in PICKLED]:
        fix = "Open it with transformers and save it (save_pretrained) into another folder."
        raise UserError(f"{trained} holds weights that are not safetensors", found=wrong[0], fix=fix)
    base = str(fitted.method.backbone.config.model)
    if trained_folder(source.model) and Path(base).is_absolute() and Path(base).resolve() != trained.resolve():
        fix = f"Put both into one folder: metaicl export {source.model} --output_dir DIR, and fit on that."
        raise UserError(f"the base model of {trained} is a folder, so it cannot be named", found=base, fix=fix)
    (folder / INSIDE).mkdir()
    for path in files:
        shutil.copyfile(path, folder / INSIDE / path.name)


def card(kind: str, fitted: FittedMethod, repo: str, judged: str = "") -> str:
    """Return the model card of a fitted estimator, from what it was made of.

    Args:
        kind: the estimator's class.
        judged: a sentence on its reliability; empty where there is none.
    """
    model = Path(fitted.source.model).name if fitted.source.fingerprint else fitted.source.model
    head = {"library_name": "metaicl", "pipeline_tag": PIPELINES.get(kind, "text-generation")}
    if "/" in model and model not in MODELS:
        head["base_model"] = model
    lines = [*(f"{name}: {value}" for name, value in head.items()), "tags: [few-shot-learning, in-context-learning]"]
    rows = {
        "estimator": kind,
        "model": model,
        "method": fitted.method.label,
        "versions": f"metaicl {metaicl.__version__}",
    }
    rows |= {"instruction": fitted.instruction} if fitted.instruction else {}
    rows |= _training(fitted)
    rows |= {"reliability": judged} if judged else {}
    answers = Counter(fitted.method.form_of(fitted.task).answer_text(example) for example in fitted.support)
    frequent = [f"| {_cell(answer)} | {count} |" for answer, count in answers.most_common(50)]
    return "\n".join(
        [
            *("---", *lines, "---", "", f"# {repo}", ""),
            f"A `{kind}` of metaicl that learned a task from {counted(len(fitted.support), 'demonstration')}.",
            *("", "```python", f"from metaicl import {kind}", "", f'{kind}.from_pretrained("{repo}")', "```", ""),
            *("| | |", "|---|---|", *(f"| {name} | {_cell(value)} |" for name, value in rows.items()), ""),
            *("## Demonstrations", "", "They lie in `few_shot.json`, for everybody who can read this repository.", ""),
            *("| answer | demonstrations |", "|---|---|", *frequent, ""),
            "Its answers can only be as good as these few demonstrations: try it on examples of your own first.",
            "",
        ]
    )


def _training(fitted: FittedMethod) -> dict[str, str]:
    """Return what a trained method's own card says of its training."""
    trained = trained_folder(fitted.source.model)
    told: Mapping[str, Any] = (read_json(trained / CARD).get("training") or {}) if trained else {}
    found = {"trained on": counted(len(told["trained_on"]), "task")} if told.get("trained_on") else {}
    run = told.get("run") or {}
    return found | {name: str(run[name]) for name in ("max_steps", "seed") if name in run}


def _cell(value: object) -> str:
    """Return a text as one cell of a table that renders as it is written."""
    text = " ".join(str(value).split())
    for character in "\\`*_{}[]<>|":
        text = text.replace(character, f"\\{character}")
    return text[:120]


@contextmanager
def _hub_errors(what: str, fix: str) -> Iterator[None]:
    """Return a context in which what the hub's client raises is the user's error, in one line."""
    from huggingface_hub.errors import HTTPError

    try:
        yield
    except (OSError, ValueError, HTTPError) as error:
        if isinstance(error, UserError):
            raise
        said = next((line for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
        raise UserError(f"{what}: {said.strip()}", fix=fix) from None
