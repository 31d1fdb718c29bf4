"""`metaicl report`: write a finished run's page again, that of several runs side by side, or a table for a paper."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from eval.report import Format
from metaicl.cli.parser import Command
from task_suites.core.errors import UserError
from task_suites.core.files import real


@dataclass(frozen=True)
class Report:
    """Write the report of a finished run or benchmark again, or one report on several runs.

    Attributes:
        runs: the folders of the runs. A report on several compares their methods on the tasks that all of them have.
        formats: what is written: the page, and its table as Markdown, CSV or LaTeX (with booktabs).
        output_dir: the folder for a report on several runs. Unset: a new one beside the first run.
    """

    runs: list[Path] = field(default_factory=list)
    formats: list[Format] = field(default_factory=lambda: ["html", "markdown"])
    output_dir: Path | None = None


def run(config: Report) -> None:
    """Write the files and print their paths."""
    from eval.report.benchmark import write_benchmark
    from eval.report.exports import write_formats
    from eval.report.joined import write_joined

    if not config.runs:
        raise UserError("no run to report on", expected="its folder", fix="Name it: metaicl report runs/comparison.")
    if not config.formats:
        raise UserError("formats is empty", expected="some of html, markdown, csv, latex")
    first, several = config.runs[0], len(config.runs) > 1
    if config.output_dir and not several:
        fix = "Leave it out: the files of a single run go into its own folder."
        raise UserError("output_dir is for a report on several runs", fix=fix)
    if not several and (first / "benchmark.json").is_file():
        if set(config.formats) - {"html", "markdown"}:
            fix = "Leave the other formats out."
            raise UserError("a benchmark is written as html and markdown only", found=" ".join(config.formats), fix=fix)
        print(write_benchmark(first))
        return
    together = "+".join(real(folder).name for folder in config.runs)
    folder = write_joined(config.runs, config.output_dir or first.parent / together) if several else first
    for path in write_formats(folder, config.formats):
        print(path)


EXAMPLES = "metaicl report runs/comparison\nmetaicl report runs/first runs/second --formats html latex"
COMMAND = Command(Report, run, EXAMPLES, ("runs",))
