"""An `AuditReport` for people: a table for the terminal, and one HTML page that needs no network."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from task_suites.audit.run import KINDS, AuditReport, Pair, Ref
from task_suites.core.atomic import write_text
from task_suites.core.errors import counted
from task_suites.splits import Overlap, Split, sizes
from task_suites.task import TaskSuite

SHOWN = {True: 8, False: 3}  # pairs of a relation and kind on the page: leaks, others
CUT = 400  # characters of a text shown


def table(report: AuditReport, suite: TaskSuite, examples: int = 3) -> str:
    """Return the report for a terminal: counts, an example or three of each kind of leak, what is odd about tasks."""
    lines = [f"{report.suite}: {counted(report.tasks, 'task')}, {counted(report.examples, 'example')}"]
    counts = report.counts()
    if counts:
        width = max(map(len, counts))
        lines += ["", " " * width + "".join(f"{kind:>11}" for kind in KINDS)]
        leaks = {pair.relation for pair in report.pairs if pair.leak}
        for relation, row in counts.items():
            cells = "".join(f"{row.get(kind, 0) or '-':>11}" for kind in KINDS)
            lines.append(f"{relation:{width}}{cells}{'   leak' if relation in leaks else ''}")
    for relation, kind, pairs in _grouped(report.leaks):
        lines += ["", f"{KINDS[kind]}, {relation} ({len(pairs)}):"]
        for pair in pairs[:examples]:
            lines += [f"  {_name(ref)}: {_text(suite, ref)[:110]}" for ref in (pair.keep, pair.drop)]
    for source in report.sources:
        sides = "; ".join(f"{side}: {', '.join(names)}" for side, names in source.tasks.items())
        lines += ["", f"source on two sides: {source.source} ({sides})"]
    odd = [(name, said) for name, notes in report.notes.items() for said in notes.warnings()]
    if odd:
        width = max(len(name) for name, _ in odd)
        lines += ["", "worth knowing:", *(f"  {name:{width}}  {said}" for name, said in odd)]
    return "\n".join([*lines, "", verdict(report)])


def verdict(report: AuditReport) -> str:
    """Return the last line: how many leaks there are."""
    found = [counted(len(report.leaks), "leaking pair")] * bool(report.leaks)
    found += [f"{counted(len(report.sources), 'source')} on two sides"] * bool(report.sources)
    return f"LEAKS: {', '.join(found)}" if found else "no leak"


def overlap_table(split: Split, found: Sequence[Overlap]) -> str:
    """Return what of a split's names is on two sides, for a terminal."""
    lines = [f"{split.name}: {sizes(split)}"]
    for overlap in found:
        sides = "; ".join(f"{side}: {', '.join(names)}" for side, names in overlap.sides.items())
        lines.append(f"  {overlap.what} on two sides: {overlap.name} ({sides})")
    return "\n".join([*lines, f"LEAKS: {len(found)}" if found else "no task or source on two sides"])


def write_page(report: AuditReport, suite: TaskSuite, path: Path) -> None:
    """Write the page into a file; its folder is made where it is missing.

    Raises:
        UserError: it cannot be written.
    """
    write_text(path, page(report, suite))


def page(report: AuditReport, suite: TaskSuite) -> str:
    """Return the report as one HTML page, light or dark as the reader's system is."""
    from jinja2 import Environment, StrictUndefined

    template = (Path(__file__).parent / "audit.html.jinja").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    groups = [
        {
            "relation": relation,
            "kind": kind,
            "means": KINDS[kind],
            "leak": pairs[0].leak,
            "count": len(pairs),
            "pairs": [_compared(suite, pair) for pair in _spread(pairs, SHOWN[pairs[0].leak])],
        }
        for relation, kind, pairs in _grouped(report.pairs)
    ]
    side = {task.name: split for split in suite.splits for task in suite.split(split)}
    return environment.from_string(template).render(
        report=report, kinds=KINDS, counts=report.counts(), groups=groups, verdict=verdict(report), side=side
    )


def _grouped(pairs: Sequence[Pair]) -> Iterator[tuple[str, str, list[Pair]]]:
    """Yield (relation, kind, pairs) in the order of relations as found, leaks first, and of `KINDS`."""
    found: dict[tuple[str, str], list[Pair]] = {}
    for pair in pairs:
        found.setdefault((pair.relation, pair.kind), []).append(pair)
    order = list(dict.fromkeys(relation for relation, _ in found))
    for relation, kind in sorted(found, key=lambda key: (order.index(key[0]), list(KINDS).index(key[1]))):
        yield relation, kind, found[relation, kind]


def _spread(pairs: Sequence[Pair], size: int) -> list[Pair]:
    """Return this many pairs, from all over the list (it is in the suite's order)."""
    return [pairs[i * len(pairs) // size] for i in range(size)] if len(pairs) > size else list(pairs)


def _compared(suite: TaskSuite, pair: Pair) -> dict[str, Any]:
    """Return both texts as (words, whether they differ) pieces, with names and answers."""
    a, b = (_text(suite, ref).split() for ref in (pair.keep, pair.drop))
    pieces: tuple[list[Any], list[Any]] = ([], [])
    for tag, a0, a1, b0, b1 in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        for side, words in ((pieces[0], a[a0:a1]), (pieces[1], b[b0:b1])):
            if words:
                side.append((" ".join(words), tag != "equal"))
    sides = zip((pair.keep, pair.drop), pieces, strict=True)
    return {
        "similarity": pair.similarity,
        "sides": [{"name": _name(ref), "pieces": found, "answer": _answer(suite, ref)} for ref, found in sides],
    }


def _name(ref: Ref) -> str:
    return f"{ref[0]}/{ref[1]}[{ref[2]}]"


def _text(suite: TaskSuite, ref: Ref) -> str:
    text = " ".join(suite[ref[0]].examples(ref[1])[ref[2]].text.split())
    return text if len(text) <= CUT else text[:CUT] + " …"


def _answer(suite: TaskSuite, ref: Ref) -> str:
    example = suite[ref[0]].examples(ref[1])[ref[2]]
    return " ".join(example.tags or ()) if example.form == "tags" else example.output or ""
