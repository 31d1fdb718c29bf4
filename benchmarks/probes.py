"""Gather the runs of docs/probes.md into `results/probes/probes.json`, which docs/results.py shows.

    python benchmarks/probes.py runs/probes

Each folder of runs/probes is a comparison of one probe; runs that are not there are left out. The last line is one JSON
object.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from eval.results import Results
from eval.statistics import mean_interval

OUTPUT = Path(__file__).resolve().parents[1] / "results" / "probes" / "probes.json"
METHODS = {"icl": "raw", "probed": "meta-trained"}
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


def main() -> None:
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/probes")
    loaded = {name: Results.load(runs / name) for name in (*PROBES, "k") if (runs / name / "results.json").is_file()}
    rows = []
    if gold := loaded.get("gold"):
        rows.append(
            {"name": "none", "scores": dict.fromkeys(METHODS, scores(gold, 16, {"zero_shot": ""})["zero_shot"])}
        )
        rows[0]["scores"].pop("probed")  # the plain model's
    for name, about in PROBES.items():
        if name in loaded:
            rows.append({"name": about, "scores": scores(loaded[name], 16, METHODS)})
    if curve := loaded.get("k"):
        rows += [{"name": f"{k}, as drawn", "scores": scores(curve, k, METHODS)} for k in sorted(curve.k)]
    found = {"benchmark": "probes", "methods": METHODS, "probes": rows}
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    OUTPUT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found))


if __name__ == "__main__":
    main()
