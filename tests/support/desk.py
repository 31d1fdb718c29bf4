"""A working folder with what README.md and the pages of docs/ speak of, beside what a clone holds.

Data of other projects has stand-ins in the same layouts, made here; the folder `shared` beside the project is linked
where there is one.
"""

from __future__ import annotations

import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import yaml
from foreign import write
from helpers import REALTASKS

ROOT = Path(__file__).resolve().parents[2]
LABELS = ["favourable", "unfavourable"]
OF_A_CLONE = ("benchmarks", "docs", "examples", "README.md", "results")


def blocks(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language, in order."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)
    return [body for kind, body in found if kind == language]


def lay(desk: Path) -> Path:
    """Fill a folder, and return it."""
    desk.mkdir()
    for name in OF_A_CLONE:
        path = ROOT / name
        shutil.copytree(path, desk / name) if path.is_dir() else shutil.copy(path, desk)
    (desk / "configs").mkdir()
    for path in (ROOT / "configs").glob("*.yaml"):  # adapters in as many layers as the tiny model has
        text = re.sub(r"^lora_layers: \d+", "lora_layers: 1", path.read_text(encoding="utf-8"), flags=re.M)
        (desk / "configs" / path.name).write_text(text, encoding="utf-8")
    if REALTASKS.is_dir() and not (link := desk.parent / "shared").exists():
        link.symlink_to(REALTASKS.parents[1])
    write(desk, {**suite_files(), **shown_files(), **hub_files(), **foreign_files(), **pickles()})
    return desk


def suite_files() -> dict[str, Any]:
    """The suite `my-suite` with tasks on each side, and enough of them for nested folds."""
    files: dict[str, Any] = {}
    for name in ("mood", "topic", "tone", "places", *(f"further{i}" for i in range(16))):
        about = {"name": name, "type": "classification", "labels": LABELS, "domain": name, "source": name}
        files[f"my-suite/{name}/task.yaml"] = yaml.safe_dump(about)
        for part, numbers in (("train", range(48)), ("test", range(48, 60))):
            files[f"my-suite/{name}/{part}.jsonl"] = [
                {"input": f"the {name} is {LABELS[i % 2]} on day {i}", "output": LABELS[i % 2]} for i in numbers
            ]
    sides = {"meta_train": ["mood", "topic"], "meta_validation": ["tone"], "meta_test": ["places"]}
    return {**files, "my-suite/suite.yaml": yaml.safe_dump({"name": "my-suite", "splits": sides})}


def shown_files() -> dict[str, Any]:
    """The files that pages show, and those that these name."""
    docs = ROOT / "docs"
    demos, inputs, *_ = blocks(docs / "python.md", "json")
    data = blocks(docs / "data.md", "yaml")
    reviews = {
        f"{name}.csv": "text,stars,mood\n" + "".join(f"meal {i},{(1, 5)[i % 2]},{LABELS[1 - i % 2]}\n" for i in days)
        for name, days in (("reviews", range(48)), ("reviews-test", range(48, 60)))
    }
    return {
        "colours.py": next(b for b in blocks(docs / "data.md", "python") if "WORDS" in b),
        "word_weights.py": next(b for b in blocks(docs / "methods.md", "python") if "class WordWeights" in b),
        "word_overlap.py": (ROOT / "examples" / "word_overlap.py").read_text(),
        "my_package/embeddings.py": "def embed(texts):\n    return [[float(len(text)), 1.0] for text in texts]\n",
        "mood.yaml": next(b for b in data if b.startswith("train: reviews.csv")),
        "my-tables.yaml": next(b for b in data if "news.jsonl" in b),
        "news.jsonl": [{"body": f"it rained on day {i}", "headline": f"rain {i}"} for i in range(24)],
        **reviews,
        "demos.jsonl": demos,
        "inputs.jsonl": inputs,
    }


def hub_files() -> dict[str, Any]:
    """Folders that stand where the pages name data sets of the hub."""
    kinds = ("negative", "positive")
    sst2 = [{"text": f"film {i}", "label": i % 2, "label_text": kinds[i % 2]} for i in range(24)]
    saved = [{"text": f"shop {i}", "label": i % 2} for i in range(24)]
    return {
        "SetFit/sst2/train.jsonl": sst2[:16],
        "SetFit/sst2/validation.jsonl": sst2[16:],
        "../my-saved-dataset/plain/train.jsonl": saved[:16],
        "../my-saved-dataset/plain/test.jsonl": saved[16:],
    }


def foreign_files() -> dict[str, Any]:
    """Stand-ins for the data of other projects: MetaICL, NaturalInstructions, BIG-bench, CoNLL-2003, lm-eval."""
    files: dict[str, Any] = {
        "MetaICL/config/hr_to_lr.json": {"train": ["race-high", "sky"], "test": ["mood", "quarel"]},
        "MetaICL/config/tasks/mood.json": {"task_type": "classification", "options": LABELS},
        "MetaICL/config/tasks/quarel.json": {"task_type": "multi-choice", "options": []},
    }
    for task in ("race-high", "sky"):
        files[f"MetaICL/data/{task}/{task}_16384_100_train.jsonl"] = _metaicl(task, "train", 40)
    for seed in (100, 13):
        for task in ("mood", "quarel"):
            for part, n in (("train", 16), ("test", 5)):
                name = f"MetaICL/data/{task}/{task}_16_{seed}_{part}.jsonl"
                files[name] = _metaicl(task, f"{part} {seed}" if part == "train" else part, n)
    soup = {"Source": ["soups"], "Categories": ["Sentiment Analysis"], "Definition": ["Say how the soup is."]}
    soup |= {"Instances": [{"id": f"1-{i}", "input": f"soup {i}", "output": ["good"]} for i in range(8)]}
    sums = {"name": "sums", "description": "Add.", "keywords": [], "metrics": ["exact_match"]}
    sums |= {"examples": [{"input": f"{i} + 1", "target": str(i + 1)} for i in range(6)]}
    files["natural-instructions/tasks/task1_soup.json"] = soup
    files["natural-instructions/splits/xlingual/train_tasks.txt"] = ""
    files["natural-instructions/splits/xlingual/test_tasks.txt"] = "task1_soup\n"
    files["BIG-bench/bigbench/benchmark_tasks/sums/task.json"] = sums
    for part, names in (("train", ("Ann", "Bo", "Cy", "Dee")), ("test", ("Eve", "Flo"))):
        sentences = [f"{name} NNP X B-PER\nmet VBD X O\nBo{name} NNP X B-PER\n\n" for name in names]
        files[f"conll2003/{part}.txt"] = "".join(sentences)
    parts = {part: f"{part}.jsonl" for part in ("train", "test")}
    files["my-harness-tasks/sky/sky.yaml"] = yaml.safe_dump(
        {"task": "sky", "dataset_path": "json", "dataset_kwargs": {"data_files": parts}}
        | {"training_split": "train", "test_split": "test", "output_type": "multiple_choice"}
        | {"doc_to_text": "{{text}}", "doc_to_choice": ["blue", "grey"], "doc_to_target": "{{label}}"}
    )
    for part, days in (("train", range(12)), ("test", range(12, 18))):
        files[f"my-harness-tasks/sky/{part}.jsonl"] = [{"text": f"day {i}", "label": i % 2} for i in days]
    return files


def _metaicl(task: str, said: str, n: int) -> list[dict[str, Any]]:
    return [{"task": task, "input": f"{task} {said} {i}", "output": LABELS[i % 2], "options": LABELS} for i in range(n)]


def pickles() -> dict[str, Any]:
    """The files of In-context Tuning's code, with tasks made here: of two classes, and (as in LAMA) of many words."""
    files: dict[str, Any] = {
        "In-context-Tuning/example_data/class_verbalizers.txt": "\n".join(f"w{i}" for i in range(60))
    }
    for folder, verbalizers in (("data", {f"T{n}": ["No", "Yes"] for n in range(3)}), ("example_data", None)):
        parts = {
            "data": {f"T{n}": [{"[X]": f"text {n} {i}", "<label>": i % 2} for i in range(20)] for n in range(3)},
            "templates": {f"T{n}": ["[X] Is it new? <label>"] for n in range(3)},
            "cross_validation_splits": [{"train": ["T0", "T1"], "val": [], "test": ["T2"]}],
            **({"verbalizers": verbalizers} if verbalizers else {}),
        }
        files |= {f"In-context-Tuning/{folder}/{name}.pkl": pickle.dumps(value) for name, value in parts.items()}
    return files
