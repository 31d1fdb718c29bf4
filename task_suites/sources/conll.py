"""Sentences in columns, one token a line, as of CoNLL-2003 (Tjong Kim Sang and De Meulder, aclanthology.org/W03-0419).

Tags come in one of four schemes and leave as BIO:

    token    Ann   Lee   met   Bo    Ng    Al
    iob1     I-P   I-P   O     I-P   I-P   B-P      B- only where a span of the same type stands directly before
    bio      B-P   I-P   O     B-P   I-P   B-P      B- opens, I- continues (IOB2)
    iobes    B-P   E-P   O     B-P   E-P   S-P      E- ends, S- is a span of one token
    bilou    B-P   L-P   O     B-P   L-P   U-P      the same with L- and U-

docs/data.md, "Other layouts", has the options and the files' names.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from task_suites.core.errors import UserError
from task_suites.core.files import inside, listing, read_lines
from task_suites.example import Example
from task_suites.sources.layouts import COMMON, Item, divided, folder_name, make_suite, sound
from task_suites.sources.options import one_of, split_options
from task_suites.task import Task, TaskSuite

SCHEMES = ("auto", "iob1", "bio", "iobes", "bilou")
OPTIONS = {"columns": "", "scheme": "auto", "train": "", "test": "", "comment": "", **COMMON}
WORDS = {  # what a file's name holds, between dots, dashes and underscores
    "train": {"train", "training"},
    "test": {"test", "testb"},
    "dev": {"dev", "devel", "valid", "validation", "testa"},
}
OTHER_FILES = (".json", ".jsonl", ".yaml", ".yml", ".md", ".py", ".gz", ".zip", ".bz2")
TEST_SHARE = 0.2  # where there is only a train file
_TAG = re.compile(r"O|([BIESLU])-(.+)")


@dataclass(frozen=True)
class Sentence:
    """Tokens and their tags as they stand in the file.

    Attributes:
        lines: the line of each token, from 1.
    """

    tokens: tuple[str, ...]
    tags: tuple[str, ...]
    lines: tuple[int, ...]


def open_conll(rest: str) -> TaskSuite:
    """Open the suite in a folder of column files: one task, or one for each folder in it; all for meta-testing.

    Args:
        rest: ``FOLDER?columns=token,pos,chunk,tag&scheme=auto&train=FILE&test=FILE&comment=#``. Without ``columns`` the
            token is first and the tag last; other names than token and tag only count. Lines that begin with
            ``comment`` are passed over.

    Raises:
        UserError: the folder, a file or a value is missing, unknown or wrong. Sentences are read on first use.
    """
    root, options = split_options(rest, OPTIONS)
    one_of(options, "scheme", SCHEMES)
    _columns(options)
    folders = {folder_name(root): root}
    if not options["train"] and not _named(listing(root), "train"):
        folders = {name: inside(root, name) for name in listing(root) if inside(root, name).is_dir()}
        folders = {name: folder for name, folder in folders.items() if _named(listing(folder), "train")}
    if not folders:
        raise UserError("no task is here", where=root, expected="a file with train in its name, or folders with one")
    tasks = [_task(name, folder, options) for name, folder in folders.items()]
    return make_suite(folder_name(root), tasks, None, root)


def _task(name: str, folder: Path, options: Mapping[str, str]) -> Task:
    train = _file(folder, "train", options["train"])
    test = _file(folder, "test", options["test"]) or _file(folder, "dev", "")
    if train is None:
        fix = "Put 'train' into the name of one, or name it: ?train=FILE."
        raise UserError("no train file is here", where=folder, fix=fix)

    def load(split: str) -> list[Example]:
        path = test if test and split == "test" else train
        assert path is not None
        examples = sound(_items(path, options), (), options, path)
        return examples if test else divided(examples, TEST_SHARE, path)[split]

    return Task(name, "tagging", load, metric="span_f1", family=name, source=name, licence=options["licence"])


def _named(names: list[str], part: str) -> list[str]:
    """Return the files whose names say that they are the part."""
    return [n for n in names if not n.endswith(OTHER_FILES) and WORDS[part] & set(re.split(r"[._-]", n.casefold()))]


def _file(folder: Path, part: str, given: str) -> Path | None:
    names = [given] if given else [n for n in _named(listing(folder), part) if inside(folder, n).is_file()]
    if len(names) > 1:
        raise UserError(
            f"several {part} files", where=folder, found=names[:5], fix=f"Name one: the option {part}=FILE."
        )
    return inside(folder, names[0]) if names else None


def _columns(options: Mapping[str, str]) -> tuple[int, int, int]:
    """Return (number of columns or 0, index of the token, index of the tag)."""
    names = [name.strip() for name in options["columns"].split(",")] if options["columns"] else []
    if not names:
        return 0, 0, -1
    if names.count("token") != 1 or names.count("tag") != 1:
        found = repr(options["columns"])
        raise UserError("option columns has a wrong value", found=found, expected="names, one token and one tag")
    return len(names), names.index("token"), names.index("tag")


def _items(path: Path, options: Mapping[str, str]) -> Iterator[Item]:
    sentences = list(read_sentences(path, *_columns(options), comment=options["comment"]))
    scheme = options["scheme"] if options["scheme"] != "auto" else recognised(sentences, path)
    for sentence in sentences:
        example = Example(tokens=sentence.tokens, tags=to_bio(sentence, scheme, path))
        yield f"{path}:{_line(sentence, example)}", example


def _line(sentence: Sentence, example: Example) -> int:
    """Return the line of a sentence that an error is about: of its first unsound token or tag; else its first."""
    if example.problem() is None:
        return sentence.lines[0]
    words = zip(sentence.tokens, example.tags or (), sentence.lines, strict=True)
    bad = (line for token, tag, line in words if Example(tokens=(token,), tags=(tag,)).problem())
    return next(bad, sentence.lines[0])


def read_sentences(
    path: Path, columns: int = 0, token: int = 0, tag: int = -1, comment: str = ""
) -> Iterator[Sentence]:
    """Yield the sentences of a file; empty lines and ``-DOCSTART-`` lines part them.

    Columns are separated by tabs where the first token's line has one, else by blanks.

    Args:
        columns: their number; 0 takes that of the first token's line.

    Raises:
        UserError: see `files.read_lines`; or a line with the line has another number of columns, or what is not a tag.
    """
    rows: list[tuple[str, str, int]] = []
    split: partial[list[str]] | None = None
    for number, line in read_lines(path):
        line = line.strip(" \t")
        if not line.strip() or line.startswith("-DOCSTART-"):
            if rows:
                yield _sentence(rows)
            rows = []
            continue
        if comment and line.startswith(comment):
            continue
        split = split or partial(re.split, "\t" if "\t" in line else "[ \t]+")
        fields = split(line)
        columns = columns or max(2, len(fields))
        if len(fields) != columns:
            found = f"{len(fields)} in {line[:60]!r}"
            raise UserError(
                "the line has another number of columns", where=f"{path}:{number}", found=found, expected=columns
            )
        if not _TAG.fullmatch(fields[tag].strip()):
            expected = "O, or B-, I-, E-, S-, L- or U- and a type"
            raise UserError("not a tag", where=f"{path}:{number}", found=repr(fields[tag][:60]), expected=expected)
        rows.append((fields[token].strip(), fields[tag].strip(), number))
    if rows:
        yield _sentence(rows)


def _sentence(rows: list[tuple[str, str, int]]) -> Sentence:
    tokens, tags, lines = zip(*rows, strict=True)
    return Sentence(tokens, tags, lines)


def recognised(sentences: list[Sentence], path: Path) -> str:
    """Return the scheme of a file's tags: by their prefixes, and iob1 where an I- opens a span.

    Raises:
        UserError: the tags are of no single scheme; the line is of the first that shows it.
    """
    seen = {
        tag[0]: line for s in reversed(sentences) for tag, line in reversed(list(zip(s.tags, s.lines, strict=True)))
    }
    last, single = set(seen) & set("ES"), set(seen) & set("LU")
    if last and single:
        where = f"{path}:{max(min(seen[p] for p in last), min(seen[p] for p in single))}"
        raise UserError("the tags follow two schemes", where=where, found=sorted(seen), expected="E and S, or L and U")
    if last or single:
        return "iobes" if last else "bilou"
    opening = needless = 0  # the first I- that opens a span; the first B- that stands where iob1 writes I-
    for s in sentences:
        before = ""
        for tag, line in zip(s.tags, s.lines, strict=True):
            if tag[0] == "I" and tag[2:] != before:
                opening = opening or line
            if tag[0] == "B" and tag[2:] != before:
                needless = needless or line
            before = tag[2:]
    if opening and needless:
        raise UserError(
            "the tags follow two schemes",
            where=f"{path}:{opening}",
            found=f"an I- that continues no span, and a B- in line {needless} that iob1 does not need",
            expected="iob1 or bio",
            fix="The option scheme=iob1 takes such an I- as the opening of a span.",
        )
    return "iob1" if opening else "bio"


def to_bio(sentence: Sentence, scheme: str, path: Path) -> tuple[str, ...]:
    """Return a sentence's tags in BIO.

    Raises:
        UserError: a tag that the scheme does not have, or not there; but with iob1 any B- and I- is taken.
    """
    letters = {"iob1": "BI", "bio": "BI", "iobes": "BIES", "bilou": "BILU"}[scheme]
    tags: list[str] = []
    opened = ""  # the type of the span that this token may continue
    for tag, line in zip(sentence.tags, sentence.lines, strict=True):
        prefix, kind = tag[0], tag[2:]
        continues = prefix in "IEL" and kind == opened
        if prefix != "O" and prefix not in letters:
            fix = "Name another scheme, or leave it out to have it recognised."
            where = f"{path}:{line}"
            raise UserError(f"the scheme {scheme} does not have this tag", where=where, found=repr(tag[:60]), fix=fix)
        if prefix in "IEL" and not continues and scheme != "iob1":
            raise UserError(
                f"{tag[:60]} continues no span", where=f"{path}:{line}", expected=f"B-{kind[:60]} before it"
            )
        if opened and not continues and scheme in ("iobes", "bilou"):
            raise UserError(f"a span of {opened[:60]} has no end", where=f"{path}:{line}", found=repr(tag[:60]))
        tags.append("O" if prefix == "O" else ("I-" if continues else "B-") + kind)
        opened = "" if prefix in "OESLU" else kind
    if opened and scheme in ("iobes", "bilou"):
        raise UserError(f"a span of {opened[:60]} has no end", where=f"{path}:{sentence.lines[-1]}")
    return tuple(tags)
