"""Every command and every block of Python that README.md and the pages of docs/ show runs: in the order of the page, in
one folder, on the tiny model where a page names a real one, and with less work.

`NOT_RUN` lists the few that do not run here, with the reason."""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from desk import ROOT, blocks, lay
from helpers import REALTASKS
from services import process

from metaicl.cli.main import main
from metaicl.lm.models import local_folder

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
NOT_RUN = {  # the beginning of a line -> why it is not run
    "make test": "it runs these tests",
    "make release-check": "it installs; CI runs it",
    "pip install": "it needs a package index",
    "lm_eval --model local-completions": "it needs a data set of the hub; tests/metaicl/inference/service has the same",
    "vllm serve": "it needs a GPU; the service stands in for it",
    "srun": "it needs a cluster",
    "metaicl try": "it reads from a terminal; test_session.py types",
    'metaicl suites export --suite "tasksource:': "it needs the hub; test_tasksource.py has the like",
    "metaicl suites audit arrow:thousand.stored": "it needs what the hub has",
    "metaicl train --config configs/tasksource": "it needs the hub",
    "accelerate launch": "it needs several GPUs; test_configs.py lets accelerate check the launch file",
}
GIVEN = {  # what a page takes as done before it
    "results-format.md": "metaicl evaluate --methods random majority",
    "methods.md": "metaicl train --run_name realtasks",
    "results.md": "metaicl train --config configs/realtasks.yaml",
}
MODELS = ("smollm2-135m", "minilm-l6")
QUICK = ("suites", "methods", "models", "completion")  # commands that load no model
TINY = {"--model": "tiny-random", "--dtype": "float32", "--device": "cpu"}
SIZES = {  # what keeps a command short; its own options come first
    "train": {"--max_steps": "1", "--eval_steps": "0", "--save_steps": "0", "--early_stopping_patience": "0"},
    "evaluate": {"--k": "2", "--seeds": "1", "--queries": "2"},
    "tune": {
        "--trials": "1",
        "--budget_seconds": "1",
        "--validation_k": "2",
        "--validation_seeds": "1",
        "--validation_queries": "2",
    },
    "quickstart": {
        "--k": "4",
        "--max_steps": "1",
        "--max_tasks": "2",
        "--seeds": "1",
        "--queries": "2",
        "--finetune_cells": "0",
    },
    "benchmark": {"--methods": "majority", "--k": "2", "--seeds": "1", "--queries": "2", "--output_dir": "runs/map"},
    "reproduce": {"--max_steps": "1", "--seeds": "1", "--queries": "2", "--optim": "adamw"},
}
EMBEDDED = "household_trade hospital_ward kitchen_taste farm_alive weather_sky court_matter travel_ride"
REAL = "snips_intent fewrel_family trec_question_type ag_news rte"
MINE = "mood topic tone places"
SHORTER = {  # what a page shows -> the same with less work
    "smollm2-135m-metaicl": "tiny-random",
    "smollm2-135m": "tiny-random",
    "minilm-l6": "tiny-encoder",
    "make quickstart": "metaicl quickstart",
    'method="metaicl", max_steps': 'method="metaicl", model="tiny-random", max_steps',
    "max_steps=100": "max_steps=1",
    "k=[4, 16], seeds=3": 'k=[2], seeds=1, queries=2, model="tiny-random", highlight="mine"',
    'load_suite("embedded"': f'load_suite("embedded", tasks={EMBEDDED.split()}',
    "--max_steps 200": "--max_steps 3",
    "train --max_steps 100": "train --max_steps 2",
    "--max_steps 28": "--max_steps 1",
    "--lora_layers 20": "--lora_layers 1",
    "--budget_seconds 90": "--budget_seconds 1",
    "--trials 8": "--trials 1",
    "--k 4 16 --seeds 3": "--k 1 2 --seeds 2",
    "--k 16": "--k 2",
    "--k_min 4": "--k_min 1",
    "suites audit ../shared/data/realtasks": f"suites audit ../shared/data/realtasks --tasks {REAL}",
    "results/tune/fomaml": "runs/tune/fomaml",  # that study is of the real model
}
SHARED = re.compile(r"\.\./shared|configs/(realtasks|benchmark|tune|release)|runs/realtasks")


@dataclass(frozen=True)
class Step:
    """One thing that a page shows: a command line or a block of Python."""

    kind: str
    text: str

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text, comments=True)

    @property
    def not_run(self) -> bool:
        return self.text.startswith(tuple(NOT_RUN))

    @property
    def is_quick(self) -> bool:
        """Whether it is a command that takes less than a second."""
        if self.kind != "sh" or not self.text.startswith("metaicl ") or SHARED.search(self.text):
            return False
        words = self.words[1:]
        if words[0] not in QUICK or "--model" in words:
            return False
        whole = "embedded" in words or "my-suite" not in words
        reads_all = words[:2] in (["suites", "audit"], ["suites", "export"]) and whole and "--setting" not in words
        return not reads_all and words[:2] != ["models", "pull"]


def steps(page: Path) -> list[Step]:
    """Return what a page shows, in order; of a console, what is typed."""
    found = re.findall(r"^```(sh|console|python)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    listed = []
    for kind, body in found:
        if kind == "python":
            listed.append(Step("python", body))
            continue
        body = body.replace("\\\n", " ")
        if kind == "sh":
            listed += [Step("sh", line) for line in body.splitlines() if line.strip()]
        for typed, printed in re.findall(r"^\$ (.*)\n((?:[^$].*\n)*)", body, re.M) if kind == "console" else ():
            cat = typed.startswith("cat ")
            listed.append(Step("file", f"{typed[4:]}\n{printed}") if cat else Step("sh", typed))
    return listed


def given(page: Path) -> list[Step]:
    """Return what was done before a page begins."""
    return [Step("sh", GIVEN[page.name])] if page.name in GIVEN else []


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay(tmp_path_factory.mktemp("desk") / "clone")


@pytest.fixture
def at_the_desk(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A page's own copy of the desk, with what other pages made."""
    shutil.copytree(desk.parent, tmp_path / "here", symlinks=True)
    here = tmp_path / "here" / desk.name
    monkeypatch.chdir(here)
    monkeypatch.syspath_prepend(str(here))
    yield here
    for name in ("colours", "word_weights", "word_overlap", "my_package", "my_package.embeddings"):
        sys.modules.pop(name, None)


def shorter(text: str) -> str:
    for shown, run_here in SHORTER.items():
        text = text.replace(shown, run_here)
    return text


def small(words: list[str], again: bool) -> list[str]:
    """A command's words with the tiny model and as little work as it allows; what it says itself stays."""
    command = words[0]
    if command == "predict" and "--model" not in words:
        return [*words, "--model", "tiny-random"]
    if command not in SIZES or "--print_config" in words:
        return words
    more = {**TINY, **SIZES[command]} if "configs/tiny.yaml" not in words else {"--max_steps": "2"}
    if command == "benchmark":
        more["--applications"] = "text classification=[ag_news, rte]"
    elif command != "reproduce" and "configs/tiny.yaml" not in words and (tasks := few_tasks(words)):
        more["--tasks"] = tasks
    added = [word for name, value in more.items() if name not in words for word in (name, *value_words(name, value))]
    afresh = ["--no-resume"] if command == "train" and not again else []  # a page shows several trainings of one name
    return [*words, *added, "--no-progress", *afresh]


def few_tasks(words: list[str]) -> str:
    """Return tasks on each side of the suites that a command takes; none for a suite that is small itself."""
    if SHARED.search(" ".join(words)) and "runs/realtasks/best" not in words:
        return REAL
    suites = (
        list(itertools.takewhile(lambda word: not word.startswith("--"), words[words.index("--suite") + 1 :]))
        if ("--suite" in words)
        else ["embedded"]
    )
    return f"{EMBEDDED} {MINE if 'my-suite' in suites else ''}" if "embedded" in suites else ""


def value_words(name: str, value: str) -> list[str]:
    return value.split() if name == "--tasks" else [value]


class Reader:
    """Does what a page shows, in the current folder."""

    def __init__(self, stack: ExitStack):
        self.stack, self.names, self.before = stack, dict[str, object](), list[str]()
        self.service = ""

    def does(self, step: Step) -> None:
        if step.kind == "file":
            name, content = step.text.split("\n", 1)
            Path(name).write_text(content)
            return
        if step.text.startswith(("metaicl models pull ", "metaicl suites ")) and step.words[-1] in MODELS:
            if local_folder(step.words[-1]):  # else it needs a package index
                main(step.words[1:])
            return
        text = shorter(step.text)
        if step.kind == "python":
            self.before.append(text)
            exec(compile(text.replace("http://127.0.0.1:8080", self.service), "page", "exec"), self.names)
            return
        words = shlex.split(text, comments=True)
        while "=" in words[0]:  # NAME=VALUE before a command
            words.pop(0)
        program, *rest = words[: next((i for i, word in enumerate(words) if word in (">", "|")), len(words))]
        if program == "python":
            self.process([*rest, *(["--quick"] if rest[0].startswith("benchmarks/") else [])])
        elif program == "torchrun":
            at = rest.index("train")
            self.process(["-m", "torch.distributed.run", *rest[:at], *small(rest[at:], again=True)])
        else:
            assert program == "metaicl", text
            self.command(rest, again=text in self.before)
        self.before.append(text)

    def process(self, words: list[str]) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, (words, done.stderr[-2000:])

    def command(self, words: list[str], again: bool) -> None:
        """Run one command; an audit that finds something ends with status 1, as its page says."""
        if "--server" in words:
            words[words.index("--server") + 1] = f"{self.service}/v1"
        if words[0] == "serve":
            assert {word for word in words if word.startswith("--")} == {"--model", "--port"}
            _, self.service = self.stack.enter_context(process(Path.cwd()))
            return
        try:
            main(small(words, again))
        except SystemExit as end:
            assert end.code in (0, None) or (words[:2] == ["suites", "audit"] and end.code == 1), (words, end.code)


@pytest.mark.parametrize("page", [p for p in PAGES if any(s.is_quick for s in steps(p))], ids=lambda page: page.name)
def test_the_commands_that_load_no_model_run(page, at_the_desk):
    with ExitStack() as stack:
        reader = Reader(stack)
        for step in filter(lambda step: step.is_quick, steps(page)):
            reader.does(step)
        assert reader.before


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if steps(p)], ids=lambda page: page.name)
def test_everything_on_a_page_runs_in_order(page, at_the_desk):
    shown = given(page) + [step for step in steps(page) if not step.not_run]
    if any(SHARED.search(step.text) for step in shown) and not REALTASKS.is_dir():
        shown = [step for step in shown if not SHARED.search(step.text)]
    with ExitStack() as stack:
        reader = Reader(stack)
        for step in shown:
            reader.does(step)
        assert reader.before or not shown


def test_what_is_not_run_is_shown_by_a_page():
    lines = [step.text for page in PAGES for step in steps(page) if step.not_run]
    assert [name for name in NOT_RUN if not any(line.startswith(name) for line in lines)] == []


@pytest.mark.parametrize("page", ["formats.md", "sampling.md"])
def test_the_python_that_loads_no_model_runs(page, at_the_desk):
    found = blocks(ROOT / "docs" / page, "python")
    for block in found:
        exec(block, {})
    assert found


def test_predict_answers_as_its_page_shows(real_model, tmp_path, capsys):
    """By the adapter that is the default; scores are in bfloat16."""
    page = ROOT / "docs" / "python.md"
    for name, lines in zip(("demos", "inputs"), blocks(page, "json"), strict=False):
        (tmp_path / f"{name}.jsonl").write_text(lines)
    main(["predict", "--demos", str(tmp_path / "demos.jsonl"), "--inputs", str(tmp_path / "inputs.jsonl")])
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    shown = [json.loads(line) for line in blocks(page, "console")[0].splitlines()[1:]]
    assert [(row["input"], row["answer"]) for row in found] == [(row["input"], row["answer"]) for row in shown]
    for one, other in zip(found, shown, strict=True):
        assert one["scores"] == pytest.approx(other["scores"], abs=0.25)


@pytest.mark.parametrize("page", [ROOT / "README.md", ROOT / "docs" / "python.md"], ids=lambda page: page.name)
def test_the_first_python_of_a_page_prints_what_it_shows(page, real_model, capsys):
    """On the released adapter, with nothing trained."""
    exec(blocks(page, "python")[0], {})
    assert capsys.readouterr().out == blocks(page, "text")[0]
