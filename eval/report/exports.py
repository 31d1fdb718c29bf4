"""A run's headline table for other programs: `report.csv` for spreadsheets, `report.tex` for a paper."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.report import Format
from eval.report.page import write_report_page
from eval.report.summary import Row, headline, legend, p_text, rows
from eval.report.texts import markdown
from eval.results import Results
from eval.statistics import Interval, task_means
from task_suites.core.atomic import write_text

FILES: dict[Format, str] = {
    "html": "report.html",
    "markdown": "report.md",
    "csv": "report.csv",
    "latex": "report.tex",
}
NUMBERS = ("score", "score_low", "score_high", "gain", "gain_low", "gain_high")
HEAD = ("method", "label", "k", *NUMBERS, "p", "wins", "ties", "losses", "train_seconds", "eval_seconds")
ESCAPED = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
}


def write_formats(folder: Path, formats: Sequence[Format]) -> list[Path]:
    """Write a run's report in each format into its folder, and return the paths.

    Raises:
        UserError: see `eval.report.page.write_report`.
    """
    results = Results.load(folder)
    paths = [folder / FILES[name] for name in formats]
    for name, path in zip(formats, paths, strict=True):
        if name == "html":
            write_report_page(folder, path)
        else:
            write_text(path, {"markdown": markdown, "csv": as_csv, "latex": as_latex}[name](results))
    return paths


def as_csv(results: Results) -> str:
    """Return the headline table as CSV, one row a method: numbers of the summary, then the mean of each task, in
    points."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([*HEAD, *(f"task:{task.name}" for task in results.tasks)])
    for row in rows(results):
        gain, method = row.gain, row.method
        means = task_means(row.cells) if row.cells else {}
        values: list[Any] = [method.name, method.label, results.headline_k, *_ends(row.mean), *_ends(gain)]
        values += [f"{gain.p:.4g}", gain.wins, gain.ties, gain.losses] if gain else [""] * 4
        values += ["" if s is None else f"{s:.1f}" for s in (method.train_seconds, method.eval_seconds)]
        values += [f"{means[task.name].mean:.2f}" if task.name in means else "" for task in results.tasks]
        writer.writerow([_safe(value) for value in values])
    return out.getvalue()


def as_latex(results: Results) -> str:
    """Return the headline table as a `table` environment; it needs the package booktabs."""
    made = rows(results)
    best = max((row.mean.mean for row in made if row.mean), default=math.nan)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_tex(headline(results, made))} {_tex(legend(results, made))}}}",
        r"\begin{tabular}{lrrrr}",
        r"\toprule",
        r"Method & Score & Gain & $p$ & W/T/L \\",
        r"\midrule",
        *(_tex_row(row, best) for row in made),
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _tex_row(row: Row, best: float) -> str:
    gain = row.gain
    score = _tex_interval(row.mean, bold=row.mean.mean == best) if row.mean else "--"
    change = _tex_interval(gain, sign=True) if gain else "baseline" if row.baseline else "--"
    tail = (f"${p_text(gain.p)}$", f"{gain.wins}/{gain.ties}/{gain.losses}") if gain else ("--", "--")
    return " & ".join([_tex(row.label), score, change, *tail]) + r" \\"


def _tex_interval(value: Interval, bold: bool = False, sign: bool = False) -> str:
    mean = f"{value.mean:+.1f}" if sign else f"{value.mean:.1f}"
    ends = "" if math.isnan(value.low) else f" {{\\small [${value.low:.1f}$, ${value.high:.1f}$]}}"
    return (rf"\textbf{{{mean}}}" if bold else f"${mean}$") + ends


def _tex(text: str) -> str:
    return "".join(ESCAPED.get(c, c) for c in " ".join(text.split()))


def _ends(value: Interval | None) -> list[str]:
    """Return mean and ends of an interval as texts, empty where they are not known."""
    if value is None:
        return ["", "", ""]
    return ["" if math.isnan(x) else f"{x:.2f}" for x in (value.mean, value.low, value.high)]


def _safe(value: Any) -> Any:
    """Return a text that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in tuple("=+@\t") else value
