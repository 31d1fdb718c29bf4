"""A run folder with awkward content, its trainings and its audit."""

from __future__ import annotations

import json

import pytest
from pages import SCRIPT, make


@pytest.fixture
def run(tmp_path):
    results = make(tmp_path)
    curve = {"loss": [[s, 2.0 / s] for s in range(1, 30)], "validation": [[10, 0.5], [20, 0.6]]}
    learned = [{"suite": "mine", "source": SCRIPT, "licence": "MIT", "tasks": ["one", "two"]}]
    training = {"model": "tiny-lm", "command": "metaicl train", "tasks": learned, "curve": curve}
    (tmp_path / "trainings.json").write_text(json.dumps({"metaicl": training}))
    remarks = {"plain": ["train has one label"], "elsewhere": ["not compared"]}
    audit = {"tasks": 3, "examples": 90, "counts": {"within a split": {"exact": 2}}, "warnings": remarks}
    (tmp_path / "audit.json").write_text(json.dumps(audit))
    segments = [
        {"role": "demo_input", "text": f"{SCRIPT}\nAnswer:", "scored": False},
        {"role": "demo_output", "text": " yes\n\n", "scored": False},
        {"role": "option", "text": " no", "scored": True},
    ]
    (tmp_path / "prompt.json").write_text(json.dumps({"task": "plain", "k": 4, "segments": segments}))
    return tmp_path, results
