"""The audit against planted leaks, and its false alarms against verdicts of a reader.

    python benchmarks/audit.py --data FOLDER              some two minutes; FOLDER holds the suite realtasks
    python benchmarks/audit.py --data FOLDER --sample     print the pairs of the seeded sample for a reader

Leaks are planted at seeded positions, half of them in the other split of their own task and half in a task on
another side of the meta-split: exact ones (case and blanks changed), and near ones (of a text of at least ten words,
one word in ten replaced by a word drawn from all words of the suite). A plant is found when the audit pairs it with
its original.

False alarms are counted on the untouched suite. Of its reported pairs that are not exact, a seeded sample of 200 was
read, and each judged: a near-duplicate or not (`tests/fixtures/audit_verdicts.json`, names and positions without text).
`false_alarm_pct` is over the judged pairs that are still reported; their number is printed beside it. The last line is
one JSON object.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from metaicl.training.run import manifest
from task_suites.audit.run import PARTS, AuditReport, Pair, Ref, audit_suite
from task_suites.example import Example
from task_suites.sources import open_suite
from task_suites.task import META_SPLITS, Task, TaskSuite

VERDICTS = Path(__file__).resolve().parents[1] / "tests" / "fixtures" / "audit_verdicts.json"
SAMPLE = 200
LEAST_WORDS = 10


@dataclass(frozen=True)
class Plant:
    """A copy of `original` that was put at index `copy`."""

    kind: str
    original: Ref
    copy: Ref


def planted(suite: TaskSuite, plants: int, seed: int) -> tuple[TaskSuite, list[Plant]]:
    """Return the suite with this many exact and this many near leaks at the ends of its splits; drawn over all
    examples."""
    rng = random.Random(f"plants {seed}")
    side = {task.name: split for split in META_SPLITS for task in suite.split(split)}
    refs = [(t.name, part, i) for t in suite.tasks.values() for part in PARTS for i in range(len(t.examples(part)))]
    long = [ref for ref in refs if len(text_of(suite, ref).split()) >= LEAST_WORDS]
    words = sorted({word for ref in refs for word in text_of(suite, ref).split()})
    added: dict[tuple[str, str], list[Example]] = {}
    made = []
    for kind, pool in (("exact", refs), ("near", long)):
        for number, original in enumerate(rng.sample(pool, plants)):
            text = text_of(suite, original)
            text = recased(text, rng) if kind == "exact" else one_in_ten(text, words, rng)
            task, part = original[0], "test" if original[1] == "train" else "train"
            if number % 2:
                task = rng.choice([t for t in side if side[t] != side.get(task)])
                part = rng.choice(PARTS)
            there = suite[task].examples(part)
            more = added.setdefault((task, part), [])
            more.append(holding(rng.choice(there), text))
            made.append(Plant(kind, original, (task, part, len(there) + len(more) - 1)))

    def with_plants(task: Task) -> Task:
        return task.replace(load=lambda part: [*task.examples(part), *added.get((task.name, part), ())])

    return suite.replace_tasks(with_plants), made


def text_of(suite: TaskSuite, ref: Ref) -> str:
    return suite[ref[0]].examples(ref[1])[ref[2]].text


def recased(text: str, rng: random.Random) -> str:
    """Return the text in another case, with other white space; a letter whose case folds unevenly stays."""
    words = [rng.choice((word, word.upper(), word.title())) for word in text.split()]
    words = [new if new.casefold() == old.casefold() else old for new, old in zip(words, text.split(), strict=True)]
    return "".join(word + rng.choice((" ", "  ", "\n", "\t ")) for word in words)


def one_in_ten(text: str, vocabulary: Sequence[str], rng: random.Random) -> str:
    words = text.split()
    for place in rng.sample(range(len(words)), len(words) // 10):
        words[place] = rng.choice([w for w in rng.sample(vocabulary, 2) if w != words[place]])
    return " ".join(words)


def holding(example: Example, text: str) -> Example:
    """Return an example of the same form with another input, however it would be answered."""
    if example.form != "tags":
        return replace(example, input=text)
    return Example(tokens=tuple(text.split()), tags=("O",) * len(text.split()))


def found_share(suite: TaskSuite, report: AuditReport, made: Sequence[Plant], kind: str) -> float:
    """Percent of the plants of a kind that are paired with their original (or a copy of it)."""
    partners: dict[Ref, set[str]] = {}
    content = {plant.original: content_of(suite, plant.original) for plant in made}
    for pair in report.leaks:
        for one, other in ((pair.keep, pair.drop), (pair.drop, pair.keep)):
            partners.setdefault(one, set()).add(content_of(suite, other))
    mine = [plant for plant in made if plant.kind == kind]
    return 100 * sum(content[plant.original] in partners.get(plant.copy, ()) for plant in mine) / len(mine)


def content_of(suite: TaskSuite, ref: Ref) -> str:
    return suite[ref[0]].examples(ref[1])[ref[2]].content


def sample(report: AuditReport) -> list[Pair]:
    """Return a seeded sample of the reported pairs that are not exact; all where they are fewer."""
    pairs = sorted((p for p in report.pairs if p.kind != "exact"), key=lambda p: (p.keep, p.drop))
    return pairs if len(pairs) <= SAMPLE else random.Random("read").sample(pairs, SAMPLE)


def false_alarms(report: AuditReport) -> dict[str, Any]:
    """Return, for the judged pairs that are still reported, the percentage that are not near-duplicates."""
    reported = {(*p.keep, *p.drop) for p in report.pairs}
    judged = [tuple(row) for row in json.loads(VERDICTS.read_text(encoding="utf-8"))["pairs"]]
    verdicts = [verdict for *pair, verdict in judged if tuple(pair) in reported]
    wrong = sum(verdict == "no" for verdict in verdicts)
    return {
        "false_alarm_pct": round(100 * wrong / max(len(verdicts), 1), 2),
        "judged_pairs": len(judged),
        "judged_pairs_reported": len(verdicts),
        "other_filler_pct": round(100 * sum(v == "filler" for v in verdicts) / max(len(verdicts), 1), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/realtasks", help="a suite")
    parser.add_argument("--plants", type=int, default=1000, help="exact ones, and near ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sample", action="store_true", help="print the sample to be read")
    given = parser.parse_args()
    suite = open_suite(given.data)
    for task in suite.tasks.values():
        task.examples("train"), task.examples("test")  # reading files is not auditing
    started, busy = time.perf_counter(), time.process_time()
    report = audit_suite(suite)
    seconds, busy = time.perf_counter() - started, time.process_time() - busy
    if given.sample:
        for number, pair in enumerate(sample(report)):
            print(f"{number} {pair.kind} {pair.relation} {pair.similarity} {pair.keep} {pair.drop}")
            print(
                f"    {' '.join(text_of(suite, pair.keep).split())}\n    {' '.join(text_of(suite, pair.drop).split())}"
            )
        return
    spoilt, made = planted(suite, given.plants, given.seed)
    second = audit_suite(spoilt, languages=False)
    line = {
        "benchmark": "audit",
        "exact_found_pct": found_share(spoilt, second, made, "exact"),
        "near_found_pct": found_share(spoilt, second, made, "near"),
        **false_alarms(report),
        "examples_per_s": round(report.examples / seconds),
        "examples_per_cpu_s": round(report.examples / busy),
        "suite": suite.name,
        "examples": report.examples,
        "planted_of_each": given.plants,
        "seed": given.seed,
        "reported": report.counts(),
        "machine": manifest()["machine"],
        "versions": manifest()["versions"],
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
