"""A finished run's headline as text: a table for the terminal, and `report.md`."""

from __future__ import annotations

from eval.refusals import gap_reasons, gap_sentence
from eval.report.differences import HEAD, found_differences
from eval.report.summary import caveats, few_tasks, headline, legend, rows
from eval.results import Results


def table(results: Results) -> str:
    """Return the headline table as plain text with aligned columns, for the terminal."""
    made = rows(results)
    head = ("method", "score", "gain", "p", "w/t/l", "training", "evaluation")
    lines = [head, *(row.texts() for row in made)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [
        "  ".join([line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    text.insert(1, "  ".join("-" * w for w in widths))
    remarks = [said] if (said := few_tasks(made)) else []
    remarks += [f"* {row.label}: {row.remark}." for row in made if row.remark]
    remarks += [gap_sentence(results), *(f"  {reason}" for reason in gap_reasons(results))]
    return "\n".join(line.rstrip() for line in [*text, "", legend(results, made), *remarks]).rstrip()


def markdown(results: Results) -> str:
    """`report.md`: the sentence, the table and the caveats."""
    made = rows(results)

    def plain(text: object) -> str:
        return "".join(f"\\{c}" if c in "\\|`*_[]<>&#" else c for c in " ".join(str(text).split()))

    head = ("Method", "Score", "Gain", "p", "W/T/L", "Training", "Evaluation")
    lines = [head, (":--", *["--:"] * (len(head) - 1)), *(tuple(map(plain, row.texts())) for row in made)]
    parts = [f"# {plain(results.name)}", plain(headline(results, made))]
    parts += ["\n".join("| " + " | ".join(line) + " |" for line in lines), plain(legend(results, made))]
    if differences := found_differences(made):
        lines = [HEAD, (":--", *["--:"] * (len(HEAD) - 1)), *(tuple(map(plain, row)) for row in differences.rows())]
        parts += ["## Which methods differ", f"{plain(differences.label)}, compared with each other method:"]
        parts += ["\n".join("| " + " | ".join(line) + " |" for line in lines)]
        parts += ["\n".join(f"- {plain(note)}" for note in differences.notes), "## How to read the numbers"]
    parts += ["\n".join(f"- {plain(note)}" for note in caveats(results, made))]
    parts += [f"Made by:\n\n````\n{results.command}\n````"]
    return "\n\n".join(part for part in parts if part) + "\n"
