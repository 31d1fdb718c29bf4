"""What README.md and the pages of docs/ show is run as shown: the Python in order, and the commands, on the tiny model.

Only parsed (tests/metaicl/cli/test_configs.py) are commands that need data of other projects or the hub, and those that
train or evaluate on pages that are not in `WITH_MODEL`."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from metaicl.cli.main import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WITH_MODEL = [ROOT / "docs" / f"{name}.md" for name in ("audit", "data", "encoders", "formats")]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.M | re.S)
OUTSIDE = re.compile(  # what a command or a block names that is not on a fresh clone
    r"\.\./|realtasks|configs/(benchmark|tune)|results/|(metaicl|natural-instructions|big-bench|conll|hf|lm-eval):\w|--setting"
    r"|my_package|models pull|my_method|metaicl (quickstart|benchmark)"
)
QUICK = ("suites", "methods", "models", "completion")  # commands that load no model
SIZES = {  # what keeps a command short; its own options come first
    "train": ["--max_steps", "1", "--eval_steps", "0", "--save_steps", "0", "--early_stopping_patience", "0"],
    "evaluate": ["--k", "2", "--seeds", "1", "--queries", "2"],
    "tune": ["--trials", "1", "--validation_k", "2", "--validation_seeds", "1", "--validation_queries", "2"],
}
SHORTER = {  # the same lines with less work
    "smollm2-135m-metaicl": "tiny-random",
    "smollm2-135m": "tiny-random",
    'method="metaicl", max_steps': 'method="metaicl", model="tiny-random", max_steps',
    "max_steps=100": "max_steps=1",
    "k=[4, 16], seeds=3": 'k=[2], seeds=1, queries=2, model="tiny-random", highlight="mine"',
    "max_words=40": "max_words=12",
}
TINY = ["--model", "tiny-random", "--dtype", "float32", "--device", "cpu"]


def blocks(page: Path, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language]


def commands(page: Path) -> list[list[str]]:
    """The words of each `metaicl ...` line of a page's shell blocks that needs nothing from outside."""
    lines = "\n".join(blocks(page, "sh")).replace("\\\n", " ").splitlines()
    return [
        shlex.split(line, comments=True)[1:]
        for line in lines
        if line.startswith("metaicl ") and not OUTSIDE.search(line)
    ]


def example(name: str, label: str, number: int) -> dict[str, str]:
    return {"input": f"the {name} is {label} on day {number}", "output": label}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with the files that the pages speak of: my-suite, mood.yaml, colours.py, demos.jsonl, ..."""
    folder = tmp_path_factory.mktemp("desk")
    labels = ["favourable", "unfavourable"]
    for name in ("mood", "topic", "tone", "places", *(f"further{i}" for i in range(16))):
        task = folder / "my-suite" / name
        task.mkdir(parents=True)
        about = {"name": name, "type": "classification", "labels": labels, "domain": name, "source": name}
        (task / "task.yaml").write_text(yaml.safe_dump(about))
        for part, numbers in (("train", range(48)), ("test", range(48, 60))):
            rows = [example(name, labels[i % 2], i) for i in numbers]
            (task / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sides = {"meta_train": ["mood", "topic"], "meta_validation": ["tone"], "meta_test": ["places"]}
    (folder / "my-suite" / "suite.yaml").write_text(yaml.safe_dump({"name": "my-suite", "splits": sides}))
    (folder / "colours.py").write_text(next(b for b in blocks(ROOT / "docs" / "data.md", "python") if "WORDS" in b))
    (folder / "mood.yaml").write_text(next(b for b in blocks(ROOT / "docs" / "data.md", "yaml") if "reviews.csv" in b))
    for name, days in (("reviews", range(48)), ("reviews-test", range(48, 60))):
        rows = [f"meal {i},{(1, 5)[i % 2]}" for i in days]
        (folder / f"{name}.csv").write_text("\n".join(["text,stars", *rows]) + "\n")
    demos, inputs, *_ = blocks(ROOT / "docs" / "python.md", "json")
    (folder / "demos.jsonl").write_text(demos)
    (folder / "inputs.jsonl").write_text(inputs)
    (folder / "configs").mkdir()
    for path in (ROOT / "configs").glob("*.yaml"):  # adapters in as many layers as the tiny model has
        text = re.sub(r"^lora_layers: \d+", "lora_layers: 1", path.read_text(encoding="utf-8"), flags=re.M)
        (folder / "configs" / path.name).write_text(text, encoding="utf-8")
    shutil.copy(ROOT / "examples" / "word_overlap.py", folder)
    method = next(b for b in blocks(ROOT / "docs" / "methods.md", "python") if "class WordWeights" in b)
    (folder / "word_weights.py").write_text(method)
    return folder


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished quickstart of the tiny model."""
    folder = tmp_path_factory.mktemp("compared") / "quick"
    sizes = ["--max_steps", "2", "--max_tasks", "2", "--seeds", "1", "--queries", "2", "--k", "4", "--max_words", "12"]
    more = ["--finetune_cells", "1", "--no-progress", "--output_dir", str(folder)]
    main(["quickstart", "--model", "tiny-random", "--dtype", "float32", "--device", "cpu", *sizes, *more])
    return folder


@pytest.fixture
def at_the_desk(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(desk)
    monkeypatch.syspath_prepend(str(desk))
    Path("split.json").unlink(missing_ok=True)  # a page may write one of another suite
    main(
        [
            "suites",
            "split",
            "my-suite",
            "--by",
            "task",
            "--shares",
            "meta_train=0.5",
            "meta_test=0.5",
            "--output",
            "split.json",
        ]
    )
    yield desk


def small(words: list[str]) -> list[str]:
    """A command's words with the tiny model and as little work as it allows; what it says itself stays."""
    if words[0] == "predict" and "--model" not in words:
        return [*words, "--model", "tiny-random"]
    if words[0] not in SIZES:
        return words
    more = [*TINY, *SIZES[words[0]], "--max_words", "12"]
    pairs = [pair for pair in zip(more[::2], more[1::2], strict=True) if pair[0] not in words]
    again = ["--no-resume"] if words[0] == "train" else []  # a page shows several trainings of one name
    return [*words, *itertools.chain(*pairs), "--no-progress", *again]


def is_quick(words: list[str]) -> bool:
    whole = "embedded" in words or "my-suite" not in words
    reads_all = words[0] == "suites" and words[1] in ("audit", "export") and whole  # that takes seconds
    return words[0] in QUICK and "--model" not in words and not reads_all


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_that_load_no_model_run(page, at_the_desk, capsys):
    for words in commands(page):
        if is_quick(words):
            run(words)


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_MODEL, ids=lambda page: page.name)
def test_the_other_commands_run_on_the_tiny_model(page, at_the_desk, compared, capsys):
    shutil.rmtree("runs", ignore_errors=True)
    shutil.copytree(compared, "runs/quickstart-embedded")
    for name in ("metaicl", "metaicl-longer"):  # what an earlier page trained
        shutil.copytree(compared / "metaicl", Path("runs", name))
    if not all(map(is_quick, shown := commands(page))):
        for words in shown:  # the quick ones again: what follows may read what they write
            run(small(words))


@pytest.mark.parametrize("page", ["formats.md", "sampling.md"])
def test_the_python_that_loads_no_model_runs(page, at_the_desk):
    for block in blocks(ROOT / "docs" / page, "python"):
        exec(block, {})


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/python.md", "docs/results-format.md"])
def test_the_other_python_runs_on_the_tiny_model(page, at_the_desk, compared, capsys):
    shutil.rmtree("runs", ignore_errors=True)
    shutil.copytree(compared, "runs/comparison")
    names: dict[str, object] = {}
    for block in blocks(ROOT / page, "python"):
        for shown, run_here in SHORTER.items():
            block = block.replace(shown, run_here)
        exec(block, names)


def test_the_first_python_of_the_page_prints_what_it_shows(real_model, capsys):
    """On the released adapter, with nothing trained."""
    page = ROOT / "docs" / "python.md"
    exec(blocks(page, "python")[0], {})
    assert capsys.readouterr().out == blocks(page, "text")[0]


def run(words: list[str]) -> None:
    """Run one command; an audit that finds something ends with status 1, as its page says."""
    words = words[: next((i for i, word in enumerate(words) if word in (">", "|")), len(words))]
    for name in ("--output", "--fix", "--html"):  # another page may show the same command
        if name in words and (path := Path(words[words.index(name) + 1])).exists():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    try:
        main(words)
    except SystemExit as end:
        assert end.code in (0, None) or (words[:2] == ["suites", "audit"] and end.code == 1), (words, end.code)
