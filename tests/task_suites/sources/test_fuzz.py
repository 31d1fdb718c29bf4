"""Mutated files over all sources: each reads right or gives one clear error; no traceback, no hang, nothing outside the
folder touched.

A seeded fuzzer: number `n` always makes the same file. A few hundred here, the rest of 10,000 marked slow.
"""

from __future__ import annotations

import json
import pickle
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from helpers import make_folder

from task_suites.core.errors import UserError
from task_suites.sources import open_suite
from task_suites.store import write_store

SECONDS = 20  # of one file; a machine with other work stretches what takes milliseconds
SECRET = "what lies outside of the folder"
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join([f'*{chr(97 + i)}'] * 9)}]\n" for i in range(9)
)
ROWS = [{"input": f"soup number {i}", "output": ["good", "bad"][i % 2]} for i in range(8)]


def _table(folder: Path) -> str:
    folder.mkdir()
    text = "input,output\n" + "".join(f"{r['input']},{r['output']}\n" for r in ROWS)
    (folder / "rows.csv").write_text(text)
    keys = {"input": "input", "output": "output", "labels": ["good", "bad"], "train": "rows.csv", "test": "rows.csv"}
    (folder / "mood.yaml").write_text(yaml.safe_dump(keys))
    return f"table:{folder / 'mood.yaml'}"


def _lm_eval(folder: Path) -> str:
    folder.mkdir()
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in ROWS))
    keys = {
        "task": "mood",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"train": "rows.jsonl", "test": "rows.jsonl"}},
        "output_type": "multiple_choice",
        "training_split": "train",
        "test_split": "test",
        "doc_to_text": "{{input}}",
        "doc_to_choice": ["good", "bad"],
        "doc_to_target": "output",
    }
    (folder / "mood.yaml").write_text(yaml.safe_dump(keys))
    return f"lm-eval:{folder}"


def _bbh(folder: Path) -> str:
    folder.mkdir()
    examples = [
        {"input": f"Which is food, {i}?\nOptions:\n(A) soup\n(B) saw", "target": f"({'AB'[i % 2]})"} for i in range(12)
    ]
    (folder / "food.json").write_text(json.dumps({"canary": "none", "examples": examples}))
    return f"bbh:{folder}"


def _conll(folder: Path) -> str:
    folder.mkdir()
    sentences = "".join(f"Paris NNP B-NP B-LOC\nis VBZ O O\nnice JJ O O\nday{i} NN O O\n\n" for i in range(6))
    for part in ("train", "test"):
        (folder / f"{part}.txt").write_text(f"-DOCSTART- -X- O O\n\n{sentences}")
    return f"conll:{folder}"


def _natural(folder: Path) -> str:
    (folder / "tasks").mkdir(parents=True)
    body = {
        "Source": ["soups"],
        "Categories": ["Sentiment Analysis"],
        "Definition": ["Say how the soup is."],
        "Positive Examples": [{"input": "hot", "output": "good", "explanation": "it is"}],
        "Negative Examples": [],
        "Instances": [{"id": f"task1-{i}", "input": r["input"], "output": [r["output"]]} for i, r in enumerate(ROWS)],
    }
    (folder / "tasks" / "task1_soup.json").write_text(json.dumps(body))
    return f"natural-instructions:{folder}"


def _metaicl(folder: Path) -> str:
    (folder / "data" / "mood").mkdir(parents=True)
    (folder / "config" / "tasks").mkdir(parents=True)
    lines = "".join(json.dumps({"task": "mood", **r, "options": ["good", "bad"]}) + "\n" for r in ROWS)
    for part in ("train", "dev", "test"):
        (folder / "data" / "mood" / f"mood_16_100_{part}.jsonl").write_text(lines)
    (folder / "config" / "tasks" / "mood.json").write_text(
        json.dumps({"task_type": "classification", "options": ["good", "bad"]})
    )
    (folder / "config" / "tiny.json").write_text(json.dumps({"train": [], "test": ["mood"]}))
    return f"metaicl:{folder}?setting=tiny"


def _crossfit(folder: Path) -> str:
    (folder / "data" / "mood").mkdir(parents=True)
    for part in ("train", "dev", "test"):
        text = "".join(f"{r['input']}\t{r['output']}\n" for r in ROWS)
        (folder / "data" / "mood" / f"mood_16_100_{part}.tsv").write_text(text)
    return f"crossfit:{folder}"


def _big_bench(folder: Path) -> str:
    (folder / "mood").mkdir(parents=True)
    examples = [
        {"input": r["input"], "target_scores": {o: int(o == r["output"]) for o in ("good", "bad")}} for r in ROWS
    ]
    body = {"name": "mood", "description": "soups", "keywords": [], "metrics": ["multiple_choice_grade"]}
    (folder / "mood" / "task.json").write_text(json.dumps({**body, "examples": examples}))
    return f"big-bench:{folder}"


def _local(folder: Path) -> str:
    return str(make_folder(folder))


def _in_context_tuning(folder: Path) -> str:
    rows = {f"P{n}": [{"[X]": f"place {n} {i}", "<label>": i % 2} for i in range(6)] for n in range(2)}
    parts = {
        "data": rows,
        "templates": {name: ["[X] lies in <label>."] for name in rows},
        "verbalizers": {name: ["good", "bad"] for name in rows},
        "cross_validation_splits": [{"train": ["P0"], "val": [], "test": ["P1"]}],
    }
    folder.mkdir()
    for name, value in parts.items():
        (folder / f"{name}.pkl").write_bytes(pickle.dumps(value))
    return f"ict:{folder}"


def _store(folder: Path) -> str:
    write_store(open_suite("toys:toy_suite"), folder)
    return f"arrow:{folder}"


SOURCES: dict[str, Callable[[Path], str]] = {
    "local": _local,
    "metaicl": _metaicl,
    "crossfit": _crossfit,
    "ict": _in_context_tuning,
    "natural-instructions": _natural,
    "big-bench": _big_bench,
    "bbh": _bbh,
    "conll": _conll,
    "lm-eval": _lm_eval,
    "table": _table,
    "arrow": _store,
}


def mutated(data: bytes, rng: random.Random) -> bytes:
    """One of many ways to spoil a file."""
    at = rng.randrange(len(data) + 1)
    lines = data.split(b"\n")
    i = rng.randrange(len(lines))
    words = [
        "../../outside",
        "/etc/passwd",
        "{{ 7 * 7 }}",
        "{{ ''.__class__ }}",
        "{% for i in range(10**9) %}x{% endfor %}",
    ]
    ways: list[Callable[[], bytes]] = [
        lambda: data[:at],
        lambda: data[:at] + bytes(rng.randrange(256) for _ in range(8)) + data[at:],
        lambda: data[:at] + b"\x00" + data[at:],
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data.replace(b"\n", b"\r\n"),
        lambda: data.decode("utf-8", "replace").encode("utf-16"),
        lambda: data.decode("utf-8", "replace").encode("latin-1", "replace") + b"\xe9\xff",
        lambda: b"\n".join([*lines[:i], lines[i] * 3000, *lines[i:]]),
        lambda: b"\n".join([*lines[:i], lines[i], *lines[i:]]),
        lambda: b"\n".join(lines[:i] + lines[i + 1 :]),
        lambda: b"[" * 5000 + data,
        lambda: data.replace(b'"good"', rng.choice([b"null", b"3", b"[]", b"{}", b"true", b"NaN", b'"\\ud800"']), 1),
        lambda: data.replace(b"input", b"inputs", 1),
        lambda: data.replace(b"{", b'{"input": "twice", ', 1),
        lambda: BOMB.encode() + data,
        lambda: data.replace(b"rows", rng.choice(words).encode(), 1).replace(b"mood", rng.choice(words).encode(), 1),
        lambda: data + b"\ninclude: mood.yaml\n",
        lambda: data.replace(b"good", rng.choice(words).encode()),
        lambda: b"",
        lambda: bytes(rng.randrange(256) for _ in range(200)),
    ]
    return rng.choice(ways)()


@contextmanager
def time_limit() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise TimeoutError("reading takes too long")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def read_all(name: str) -> None:
    suite = open_suite(name)
    for task in suite.tasks.values():
        for part in ("train", "test"):
            for example in task.examples(part):
                assert example.problem(task.labels) is None
                assert SECRET not in example.text


def fuzz(source: str, numbers: range, tmp_path: Path) -> list[str | None]:
    """The error of each mutated copy, None where it was read."""
    outside = tmp_path / "outside"
    outside.write_text(json.dumps({"input": SECRET, "output": "good"}) + "\n")
    sound = tmp_path / "sound"
    name = SOURCES[source](sound)
    read_all(name)
    folder = tmp_path / "fuzzed"
    errors: list[str | None] = []
    for number in numbers:
        rng = random.Random(f"{source}/{number}")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(sound, folder)
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        victim = rng.choice(files)
        if rng.random() < 0.05:
            victim.unlink()
            victim.symlink_to(outside)
        else:
            victim.write_bytes(mutated(victim.read_bytes(), rng))
        before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
        try:
            with time_limit():
                read_all(name.replace(str(sound), str(folder)))
            errors.append(None)
        except UserError as error:
            assert str(folder) in str(error) or str(error).startswith("task "), f"{source}, number {number}: {error}"
            errors.append(str(error))
        except Exception as error:
            pytest.fail(f"{source}, number {number}, {victim.name}: {type(error).__name__}: {error}")
        assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before, (source, number)
    return errors


@pytest.mark.parametrize("source", SOURCES)
def test_a_mutated_file_reads_right_or_gives_one_error(source, tmp_path):
    errors = fuzz(source, range(30), tmp_path)
    assert len(errors) == 30 and any(errors) and not all(errors)


@pytest.mark.slow
@pytest.mark.parametrize("source", SOURCES)
def test_a_thousand_mutated_files_read_right_or_give_one_error(source, tmp_path):
    errors = fuzz(source, range(30, 1030), tmp_path)
    assert len(errors) == 1000 and any(errors) and not all(errors)
