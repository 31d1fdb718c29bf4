"""Gather the runs of docs/probes.md into `results/probes/probes.json`, which docs/results.py shows.

    python benchmarks/probes.py runs/probes

Each folder of runs/probes is a comparison of one probe; `k` is one of other numbers of demonstrations. Of runs that are
not there, what the file has stays. The last line is one JSON object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from eval.report.background import contamination
from eval.results import Results
from eval.statistics import mean_interval

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "probes" / "probes.json"
METHODS = {"icl": "raw", "probed": "meta-trained"}
NONE = "none"  # zero-shot
PROBES = {  # folder -> what its demonstrations are
    "gold": "16, as drawn",
    "random": "random labels",
    "flipped": "flipped labels",
    "words": "arbitrary words for labels",
    "inputs": "inputs of another task",
    "order": "another order",
}


def scores(results: Results, k: int, methods: dict[str, str]) -> dict[str, list[float]]:
    """Return method -> [mean, low, high] in points at one k."""
    found = {}
    for name in methods:
        if cells := [cell for cell in results.cells if cell.method == name and cell.k == k]:
            interval = mean_interval(cells)
            found[name] = [round(value, 1) for value in (interval.mean, interval.low, interval.high)]
    return found


def rows(runs: Path) -> dict[str, dict[str, Any]]:
    """Return what the demonstrations are -> method -> its interval, of the runs that are there."""
    loaded = {name: Results.load(runs / name) for name in (*PROBES, "k") if (runs / name / "results.json").is_file()}
    found = {}
    if gold := loaded.get("gold"):
        found[NONE] = {"icl": scores(gold, 16, {"zero_shot": ""})["zero_shot"]}  # the plain model's
    found |= {PROBES[name]: scores(loaded[name], 16, METHODS) for name in PROBES if name in loaded}
    if curve := loaded.get("k"):
        found |= {f"{k}, as drawn": scores(curve, k, METHODS) for k in sorted(curve.k)}
    return found


def main() -> None:
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/probes")
    before = json.loads(OUTPUT.read_text(encoding="utf-8")) if OUTPUT.is_file() else {"probes": []}
    measured = {row["name"]: row["scores"] for row in before["probes"]}
    for name, new in rows(runs).items():
        measured[name] = {**measured.get(name, {}), **new}
    first = [NONE, *PROBES.values()]
    order = sorted(
        measured, key=lambda name: (first.index(name), 0) if name in first else (99, int(name.split(",")[0]))
    )
    audited = before.get("audit", "")
    if (runs / "gold" / "results.json").is_file():
        audited = contamination(runs / "gold", Results.load(runs / "gold"))
    table = [{"name": name, "scores": measured[name]} for name in order]
    found = {"benchmark": "probes", "methods": METHODS, "probes": table, "audit": audited}
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
