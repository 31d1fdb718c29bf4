"""Column files: four tag schemes come out as the same BIO, and each mistake is named by its line."""

from __future__ import annotations

from pathlib import Path

import pytest
from foreign import error_of, examples, formats, write
from hypothesis import given
from hypothesis import strategies as st

from task_suites import open_suite
from task_suites.example import Example
from task_suites.sources.conll import Sentence, read_sentences, recognised, to_bio

Span = tuple[int, str]  # tokens of a span (or of a gap), its type ("" for a gap)


def columns(*sentences: tuple[tuple[str, str], ...]) -> str:
    return "".join("".join(f"{token} X {tag}\n" for token, tag in s) + "\n" for s in sentences)


ANN = (("Ann", "B-PER"), ("Lee", "I-PER"), ("met", "O"), ("Bo", "B-PER"))
ROME = (("Rome", "B-LOC"), ("fell", "O"))


def test_both_samples_have_the_same_spans():
    suite = open_suite(f"conll:{formats('conll2003')}")
    assert list(suite.tasks) == ["bio2", "iob1"]
    shared = set(suite["bio2"].examples("train"))
    assert len(shared) == 2 and shared < set(examples(suite["iob1"]))
    assert suite["bio2"].metric == "span_f1" and suite["bio2"].type == "tagging"
    delta = next(e for e in shared if "Delta" in e.tokens)
    assert delta.tags == ("B-ORG", "I-ORG", "B-ORG", "I-ORG", "O", "O")


@st.composite
def spans(draw: st.DrawFn) -> list[list[Span]]:
    span = st.tuples(st.integers(1, 4), st.sampled_from(["", "PER", "LOC"]))
    return draw(st.lists(st.lists(span, min_size=1, max_size=5), min_size=1, max_size=5))


def tagged(span: Span, before: Span | None, scheme: str) -> list[str]:
    """A span's tags, written down scheme by scheme."""
    n, kind = span
    if not kind:
        return ["O"] * n
    if scheme == "iob1":
        first = "B" if before and before[1] == kind else "I"
        return [f"{p}-{kind}" for p in first + "I" * (n - 1)]
    single, last = {"bio": "BI", "iobes": "SE", "bilou": "UL"}[scheme]
    return [f"{p}-{kind}" for p in (single if n == 1 else "B" + "I" * (n - 2) + last)]


def sentences_in(sentences: list[list[Span]], scheme: str) -> list[Sentence]:
    out, line = [], 1
    for sentence in sentences:
        pairs = zip(sentence, [None, *sentence[:-1]], strict=True)
        tags = tuple(tag for span, before in pairs for tag in tagged(span, before, scheme))
        out.append(Sentence(tags, tags, tuple(range(line, line + len(tags)))))
        line += len(tags) + 1
    return out


@given(spans(), st.sampled_from(["iob1", "iobes", "bilou"]))
def test_all_schemes_say_the_same(sentences, scheme):
    expected = [s.tags for s in sentences_in(sentences, "bio")]
    path = Path("x")
    written = sentences_in(sentences, scheme)
    assert [to_bio(s, scheme, path) for s in written] == expected
    assert [to_bio(s, "bio", path) for s in sentences_in(sentences, "bio")] == expected


@given(spans(), st.sampled_from(["iob1", "bio", "iobes", "bilou"]))
def test_the_scheme_is_recognised_wherever_it_matters(sentences, scheme):
    written = sentences_in(sentences, scheme)
    found = recognised(written, Path("x"))
    expected = [s.tags for s in sentences_in(sentences, "bio")]
    assert [to_bio(s, found, Path("x")) for s in written] == expected
    if any(kind for s in sentences for _, kind in s):
        assert found == scheme


@given(spans())
def test_bio_of_bio_is_itself(sentences):
    written = sentences_in(sentences, "bio")
    assert [to_bio(s, "iob1", Path("x")) for s in written] == [s.tags for s in written]


@pytest.mark.parametrize(
    "text",
    [
        columns(ANN, ROME),
        columns(ANN, ROME).replace(" ", "\t"),
        columns(ANN, ROME).replace("\n", "\r\n"),
        columns(ANN, ROME).rstrip("\n"),
        "\ufeff-DOCSTART- -X- O\n\n" + columns(ANN, ROME),
        columns(ANN, ROME).replace("\n\n", "\n \n\n-DOCSTART- -X- O\n\n"),
        columns(ANN, ROME).replace(" ", "   ").replace("\n", " \n"),
    ],
    ids=["blanks", "tabs", "CRLF", "no last line break", "mark and document", "documents between", "wide"],
)
def test_the_ways_of_writing_columns_are_taken(tmp_path, text):
    write(tmp_path, {"train.txt": text, "test.txt": text})
    (task,) = open_suite(f"conll:{tmp_path}").tasks.values()
    expected = [Example(tokens=tuple(t for t, _ in s), tags=tuple(tag for _, tag in s)) for s in (ANN, ROME)]
    assert list(task.examples("train")) == expected == list(task.examples("test"))


def test_columns_may_stand_in_any_order(tmp_path):
    text = "O-tag B-PER Ann\nO-tag O met\n\n"
    write(tmp_path, {"train.txt": text, "test.txt": text})
    (task,) = open_suite(f"conll:{tmp_path}?columns=pos,tag,token").tasks.values()
    assert task.examples("train") == (Example(tokens=("Ann", "met"), tags=("B-PER", "O")),)


def test_lines_of_comment_are_passed_over_where_that_is_asked_for(tmp_path):
    text = "# id 1 domain=en\nAnn X B-PER\n\n"
    write(tmp_path, {"train.txt": text, "test.txt": text})
    assert len(examples(open_suite(f"conll:{tmp_path}?comment=%23").tasks.popitem()[1])) == 2
    assert "train.txt:1: not a tag; found 'domain=en'" in error_of(f"conll:{tmp_path}")


@pytest.mark.parametrize(
    ("files", "train", "test"),
    [
        (("eng.train", "eng.testa", "eng.testb"), "eng.train", "eng.testb"),
        (("wnut17train.txt", "train.conll", "dev.conll"), "train.conll", "dev.conll"),
        (("train.bio", "README.md", "train.json", "test.bio"), "train.bio", "test.bio"),
    ],
)
def test_the_parts_are_found_by_their_names(tmp_path, files, train, test):
    write(tmp_path, {name: f"{name} X O\n" for name in files})
    (task,) = open_suite(f"conll:{tmp_path}").tasks.values()
    assert [e.tokens for e in examples(task)] == [(train,), (test,)]


def test_a_train_file_alone_is_divided(tmp_path):
    write(tmp_path, {"train.txt": "".join(f"w{i} X O\n\n" for i in range(10))})
    (task,) = open_suite(f"conll:{tmp_path}").tasks.values()
    assert [len(task.examples(part)) for part in ("train", "test")] == [8, 2]


def test_files_are_named_where_there_are_several(tmp_path):
    write(tmp_path, {name: f"{name} X O\n" for name in ("eng.train", "deu.train", "deu.testb", "eng.testb")})
    assert "several train files; found ['deu.train', 'eng.train']. Name one" in error_of(f"conll:{tmp_path}")
    (task,) = open_suite(f"conll:{tmp_path}?train=deu.train&test=deu.testb").tasks.values()
    assert examples(task)[1].tokens == ("deu.testb",)
    assert "not a name within the folder" in error_of(f"conll:{tmp_path}?train=../secret")


def test_a_folder_without_column_files_is_refused(tmp_path):
    write(tmp_path, {"below/notes.txt": "", "test.txt": ""})
    assert "no task is here; expected a file with train in its name" in error_of(f"conll:{tmp_path}")


@pytest.mark.parametrize(
    ("tags", "query", "message"),
    [
        ("O PER", "", ":2: not a tag; found 'PER'; expected O, or B-"),
        ("O B-", "", ":2: not a tag; found 'B-'"),
        ("I-A O B-A", "", ":1: the tags follow two schemes; found an I- that continues no span, and a B- in line 3"),
        ("B-A E-A U-A", "", ":3: the tags follow two schemes; found ['B', 'E', 'U']; expected E and S, or L and U"),
        ("O I-A", "?scheme=bio", ":2: I-A continues no span; expected B-A before it"),
        ("S-A", "?scheme=bio", ":1: the scheme bio does not have this tag; found 'S-A'"),
        ("B-A O S-A", "", ":2: a span of A has no end; found 'O'"),
        ("S-A B-A", "", ":2: a span of A has no end"),
        ("B-A E-B", "", ":2: E-B continues no span"),
        ("B-A I-A S-A", "?scheme=iobes", ":3: a span of A has no end; found 'S-A'"),
        ("B-a=b", "", ":1: not a BIO tag; found 'B-a=b'"),
    ],
)
def test_a_mistake_in_the_tags_is_named(tmp_path, tags, query, message):
    text = "".join(f"w X {tag}\n" for tag in tags.split())
    write(tmp_path, {"train.txt": text, "test.txt": text})
    error = error_of(f"conll:{tmp_path}{query}")
    assert error.startswith(f"{tmp_path}/train.txt{message}"), error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a X O\nb O\n", ":2: the line has another number of columns; found 2 in 'b O'; expected 3"),
        ("a\n", ":1: the line has another number of columns; found 1 in 'a'; expected 2"),
        ("a X O\nb X O\nc\u00a0d X O\ne X O\n", ":3: a token is empty or holds white space"),
        ("a X O\n\nb\u00a0c X O\n", ":3: a token is empty or holds white space"),
        ("a X O\nb \0 O\n", ":2: the text has a NUL character"),
        (b"a X O\nb\xff X O\n", ":2: not UTF-8"),
        ("-DOCSTART- O\n\n", ": no example"),
        ("", ": no example"),
    ],
)
def test_a_mistake_in_the_columns_is_named(tmp_path, text, message):
    write(tmp_path, {"train.txt": text, "test.txt": "a X O\n"})
    error = error_of(f"conll:{tmp_path}")
    assert error.startswith(f"{tmp_path}/train.txt{message}"), error


@pytest.mark.parametrize("value", ["token", "tag,tag,token", "word,tag", "token,token,tag"])
def test_columns_are_one_token_and_one_tag(tmp_path, value):
    assert "option columns has a wrong value" in error_of(f"conll:{tmp_path}?columns={value}")


def test_a_tag_in_iob1_with_a_needless_b_can_be_read(tmp_path):
    write(tmp_path, {"train.txt": "a X I-A\nb X O\nc X B-A\n", "test.txt": "a X O\n"})
    (task,) = open_suite(f"conll:{tmp_path}?scheme=iob1").tasks.values()
    assert task.examples("train")[0].tags == ("B-A", "O", "B-A")


LINES = st.sampled_from(["Rome NNP B-LOC", "is VBZ O", "\tnice JJ O ", "", " ", "-DOCSTART- X O", "Oslo NNP"])


@given(st.text(max_size=200) | st.lists(LINES, max_size=8).map("\n".join))
def test_any_text_is_sentences_or_one_error(tmp_path_factory, text):
    from task_suites.core.errors import UserError

    path = tmp_path_factory.mktemp("any") / "x.txt"
    path.write_text(text, encoding="utf-8", newline="")
    try:
        for sentence in read_sentences(path):
            assert len(sentence.tokens) == len(sentence.tags) == len(sentence.lines) > 0
            columns = [text.split("\n")[number - 1].split() for number in sentence.lines]
            assert [c[0] for c in columns] == list(sentence.tokens)
            assert [c[-1] for c in columns] == list(sentence.tags)
    except UserError as error:
        assert str(error).startswith(f"{path}:")
