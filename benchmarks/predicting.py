"""The peak memory of `metaicl predict` on files of many inputs.

    .venv/bin/python benchmarks/predicting.py            # 10,000 and 100,000 inputs of each format; five minutes
    .venv/bin/python benchmarks/predicting.py --quick    # 300 and 600 inputs; its numbers mean nothing

Each run is a process of its own that writes JSON lines. The method runs no model (`--method icl` does, on the tiny
random one), so that memory is that of reading, checking, answering and writing. Every input is another text of some
eighty characters. The answers of one format have to be those of the others. A process' peak is what the system reports
of it when it has ended.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from measuring import finish, rounded, say

DEMOS = [("a sweet fig", "fruit"), ("a rusty saw", "tool"), ("a ripe pear", "fruit"), ("a sharp axe", "tool")]
FORMATS = ("jsonl", "csv", "parquet")


def texts(count: int) -> list[str]:
    """Return different texts, the same each time."""
    draw = random.Random(0)
    letters = "abcdefghijklmnopqrstuvwxyz "
    return [f"thing {i}: " + "".join(draw.choices(letters, k=70)).strip() for i in range(count)]


def write_inputs(folder: Path, count: int) -> None:
    """Write the same inputs in each format."""
    from pyarrow import Table, parquet

    rows = [{"id": str(i), "input": text} for i, text in enumerate(texts(count))]
    (folder / "inputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with (folder / "inputs.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, ["id", "input"])
        table.writeheader()
        table.writerows(rows)
    parquet.write_table(Table.from_pylist(rows), folder / "inputs.parquet")


def run(folder: Path, ending: str, method: str) -> tuple[float, float, bytes]:
    """Return (peak MiB, seconds, the answers) of one process."""
    output = folder / "answers.jsonl"
    output.unlink(missing_ok=True)
    words = ["--model", "tiny-random", "--method", method, "--demos", str(folder / "demos.jsonl")]
    words += ["--inputs", str(folder / f"inputs.{ending}"), "--output", str(output)]
    started = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-m", "metaicl", "predict", *words], stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"predict ended with {process.returncode}: {said.decode()[-2000:]}")
    return used.ru_maxrss / 1024, time.perf_counter() - started, output.read_bytes()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs=2, default=(10_000, 100_000), help="numbers of inputs")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--method", default="majority", help="a method on the tiny model")
    parser.add_argument("--quick", action="store_true", help="a smoke run")
    args = parser.parse_args()
    counts = (300, 600) if args.quick else args.counts
    peaks: dict[str, list[float]] = {ending: [] for ending in args.formats}
    rates: dict[str, float] = {}
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        lines = [json.dumps({"input": text, "output": kind}) + "\n" for text, kind in DEMOS]
        (folder / "demos.jsonl").write_text("".join(lines), encoding="utf-8")
        for count in counts:
            write_inputs(folder, count)
            answers: set[bytes] = set()
            for ending in args.formats:
                peak, seconds, found = run(folder, ending, args.method)
                say(f"{ending:8} {count:7} inputs: {peak:7.1f} MiB, {seconds:6.1f} s")
                peaks[ending].append(rounded(peak))
                rates[ending] = rounded(count / seconds)
                answers.add(found)
                lines_there = found.count(b"\n")
                wrong += [f"{lines_there} answers of {count}"] if lines_there != count else []
            wrong += [f"the formats' answers to {count} inputs"] if len(answers) != 1 else []
    result: dict[str, Any] = {"benchmark": "predicting", "method": args.method, "inputs": list(counts)}
    result |= {f"peak_mib_{ending}": found for ending, found in peaks.items()}
    result |= {f"inputs_per_second_{ending}": rate for ending, rate in rates.items()}
    result["largest_growth_mib"] = rounded(max(last - first for first, last in peaks.values()))
    return finish(result, wrong)


if __name__ == "__main__":
    sys.exit(main())
