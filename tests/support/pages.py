"""A run folder with awkward content, and a reader of pages."""

from __future__ import annotations

import json
from html.parser import HTMLParser

from eval.report.page import write_report

VOID = {"meta", "br", "img", "link", "input", "hr", "wbr"}
SCRIPT = "<script>alert('x')</script> & \"quotes\" $x$ 世界"


class Page(HTMLParser):
    """Checks that tags nest and collects text, ids, and what the page would load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.tags, self.ids, self.loads = [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.note(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.note(attrs)

    def note(self, attrs):
        self.ids += [value for name, value in attrs if name == "id"]
        self.loads += [v for name, v in attrs if name in ("src", "href", "xlink:href", "srcset") and v[0] != "#"]
        assert not [name for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


def make(folder, tasks=("plain", SCRIPT, "third"), ks=(4, 16), predictions=True):
    """A run folder with awkward content; the results that were written are returned."""
    better = {"icl": 0.0, "metaicl": 0.1, "proto": -0.05}
    cells = [
        {"method": m, "task": t, "seed": s, "k": k, "metric": "accuracy", "n": 9, "seconds": 1.0, "dropped": 0}
        | {"score": 0.4 + better[m] + 0.05 * i + 0.01 * s + (0.002 * k + 0.02 * i) * (m == "metaicl")}
        for m in better
        for i, t in enumerate(tasks)
        for s in (0, 1)
        for k in ks
        if not (m == "proto" and i == 0 and len(tasks) > 1)
    ]
    methods = [
        {"name": "icl", "label": "In-context", "note": "", "trained": False, "train_seconds": None},
        {"name": "metaicl", "label": "MetaICL <b>", "note": SCRIPT, "trained": True, "train_seconds": 75.0},
        {"name": "proto", "label": "Prototypes", "note": "", "trained": True, "train_seconds": 3.0},
    ]
    for method in methods:
        method |= {"eval_seconds": 4000.0, "cells_done": 1, "cells_all": 1}
    results = {
        "schema": 1,
        "name": "awkward & <i>small</i>",
        "created": "2026-01-02T03:04:05+0000",
        "command": "metaicl evaluate --config 'a & b.yaml'",
        "seconds": 12.5,
        "manifest": {"backbone": {"model": "tiny-lm"}, "seeds": [0, 1], "suite": {"prints": {"t": "abc"}}, "gpu": None},
        "k": list(ks),
        "headline_k": 16,
        "methods": methods,
        "tasks": [
            {"name": t, "type": "classification", "family": "f", "metric": "accuracy", "classes": 2, "chance": 0.5}
            for t in tasks
        ],
        "seeds": [0, 1],
        "cells": cells,
        "refusals": [
            {"method": "proto", "task": tasks[0], "seed": s, "k": k, "reason": "no <tagging>", "by_design": True}
            for s in (0, 1)
            for k in ks
        ],
        "filtered": "3 examples were too long.",
        "comparison": {"method": "metaicl", "baseline": "icl"},
        "notes": ["A note."],
    }
    (folder / "results.json").write_text(json.dumps(results))
    if predictions:
        (folder / "predictions").mkdir()
        for method in ("icl", "metaicl"):
            lines = [json.dumps(line) for line in answers(method, tasks)]
            (folder / "predictions" / f"{method}.jsonl").write_text("\n".join(lines) + "\n")
    return results


def answers(method, tasks):
    head = {"method": method, "task": tasks[-1], "seed": 0, "k": 16, "truth": "yes"}
    said = "yes" if method == "icl" else "no"
    yield head | {"index": 0, "input": SCRIPT, "options": ["yes", "no"], "scores": [-2.0, -1.5], "answer": said}
    yield (
        head
        | {"index": 0, "seed": 1, "input": SCRIPT, "options": ["yes", "no"], "scores": [-9.0, -1.5]}
        | {"answer": said}
    )
    yield head | {"index": 1, "input": "ragged", "options": ["yes", "no", "?"], "scores": [-2.0], "answer": "no"}
    yield head | {
        "index": 2,
        "input": ["to", "ken"],
        "options": None,
        "scores": None,
        "answer": ["O"],
        "truth": ["B-X"],
    }
    yield head | {"index": 3, "input": "fine", "options": None, "scores": None, "answer": "yes"}
    yield head | {"index": 4, "input": "none \u2028 given", "options": None, "scores": None, "answer": None}
    yield head | {"index": 5, "k": 4, "input": "at another k", "options": None, "scores": None, "answer": "no"}


def page_of(folder):
    """Write the report of a run folder; return its text, and what a reader sees of it."""
    text = write_report(folder).read_text("utf-8")
    return text, Page(text)
