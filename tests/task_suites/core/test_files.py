"""Options in a source's name, and safe reading: each mistake in a file is one error with file and line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import re
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from task_suites.core.errors import UserError
from task_suites.core.files import STANDARD_INPUT, at_line, inside, listing, open_file, read_lines, read_text
from task_suites.core.json_files import Place, parse_json, read_json
from task_suites.core.yaml_files import read_yaml
from task_suites.example import Example
from task_suites.sources.layouts import divided, one_line, sound
from task_suites.sources.options import number, one_of, split_options


def zipped(data: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("t.jsonl", data)
    return held.getvalue()


KNOWN = {"k": "16", "setting": ""}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
)


def test_options_stand_behind_a_question_mark_and_have_defaults(tmp_path):
    folder, options = split_options(f"{tmp_path}?setting=a%26b=c", KNOWN)
    assert (folder, options) == (tmp_path, {"k": "16", "setting": "a&b=c"})
    assert split_options(str(tmp_path), KNOWN) == (tmp_path, KNOWN)


def test_a_question_mark_in_a_path_that_exists_is_part_of_it(tmp_path):
    odd = tmp_path / "what?k=3"
    odd.mkdir()
    assert split_options(str(odd), KNOWN) == (odd, KNOWN)
    assert split_options(f"{odd}?k=4", KNOWN) == (odd, {"k": "4", "setting": ""})


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        ("x?seting=a", "x: unknown option 'seting'. Did you mean setting?"),
        ("x?k=1&k=2", "x: option k is given twice"),
        ("x?k", "x: not an option: 'k'; expected name=value"),
        ("x?k=1&", "x: not an option: ''"),
        ("", "no folder or file is named"),
        ("?k=1", "no folder or file is named; found '?k=1'"),
    ],
)
def test_a_mistake_in_options_is_named(rest, message):
    with pytest.raises(UserError) as raised:
        split_options(rest, KNOWN)
    assert str(raised.value).startswith(message)


def test_values_of_options_are_checked():
    assert one_of({"k": "a"}, "k", ("a", "b")) == "a" and number({"k": "12"}, "k") == 12
    with pytest.raises(UserError, match=r"option k: unknown value 'alow'. Did you mean allow"):
        one_of({"k": "alow"}, "k", ("allow", "refuse"))
    for value in ("", "-1", "1.5", "²", "9" * 5000):
        with pytest.raises(UserError, match="option k has a wrong value"):
            number({"k": value}, "k")


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../../x", "nul\0", "link", "link/below", "loop", "loop/below"]
)
def test_no_name_and_no_link_leads_out_of_the_folder(tmp_path, name):
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (tmp_path / "x").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "x")
    (folder / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "loop").symlink_to(folder / "loop")
    with pytest.raises(UserError):
        inside(folder, name)


def test_links_within_the_folder_and_to_the_folder_are_followed(tmp_path):
    folder = tmp_path / "folder"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "x").write_text("text")
    (folder / "b").symlink_to(folder / "a")
    (tmp_path / "alias").symlink_to(folder)
    assert read_text(inside(tmp_path / "alias", "b/x")) == "text"


def test_what_is_no_ordinary_file_or_too_long_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_text("x" * 11)
    for name, message in (("pipe", "not a file"), (".", "not a file"), ("gone", r"cannot be read \(No such file")):
        with pytest.raises(UserError, match=message):
            open_file(tmp_path / name)
    with pytest.raises(UserError, match="the file is too long; found 11 bytes; expected at most 10"):
        open_file(tmp_path / "long", limit=10)
    for name in ("long", "gone"):
        with pytest.raises(UserError, match="cannot be read"):
            listing(tmp_path / name)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"one\ntwo \xff\n", ":2: not UTF-8; found b'\\xff'"),
        (b"one\ntwo\nth\0ree", ":3: the text has a NUL character"),
        ("text\n".encode("utf-16"), ":1: not UTF-8; found b'\\xff'"),
    ],
)
def test_bytes_that_are_no_text_are_named_by_line(tmp_path, data, message):
    path = tmp_path / "file"
    path.write_bytes(data)
    for read in (read_text, lambda p: list(read_lines(p))):
        with pytest.raises(UserError) as raised:
            read(path)
        assert str(raised.value).startswith(f"{path}{message}")


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"))), st.sampled_from(["\n", "\r\n"]))
def test_lines_come_back_whatever_ends_them(tmp_path_factory, texts, end):
    path = tmp_path_factory.mktemp("lines") / "file"
    path.write_bytes(b"\xef\xbb\xbf" + end.join([*texts, ""]).encode())
    read = [line for _, line in read_lines(path)]
    assert [t for t in read if t] == [t.removeprefix("\ufeff") if i == 0 else t for i, t in enumerate(texts) if t]


@given(JSON)
def test_json_is_read_as_the_library_reads_it(value):
    for text in (json.dumps(value), json.dumps(value, indent=1, ensure_ascii=False)):
        if "\\ud" not in text.lower():
            assert parse_json(text, "x") == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": [\n{"b": 1},\n{"c": 1,\n"c": 2}]}', "x:3: key 'c' occurs twice in one object"),
        ('{"a": ["\\ud83d\\ude00",\n"\\ud83d"]}', "x:2: not Unicode text; found half of a surrogate pair"),
        ('{"a": [\n{"b": 1 2}]}', "x:2: not JSON (Expecting ',' delimiter"),
        ('{"a":\n"cut', "x:2: not JSON (Unterminated string"),
        ("[NaN]", "x: not JSON (NaN is not a JSON number)"),
        ("[" * 100_000, "x: not JSON (nested too deeply"),
        ("9" * 5000, "x: not JSON (Exceeds the limit"),
        ("", "x:1: not JSON (Expecting value)"),
    ],
)
def test_a_mistake_in_json_is_named_by_line(text, message):
    with pytest.raises(UserError) as raised:
        parse_json(text, "x")
    assert str(raised.value).startswith(message)


def test_half_of_a_surrogate_pair_behind_an_escaped_backslash_is_text():
    assert parse_json(r'"\\ud83d"', "x") == r"\ud83d"


def test_a_part_of_a_json_file_is_found_by_its_line(tmp_path):
    text = '{"rows":\n[{"a": 1},\n{"a": 2,\n"b": {}}]}'
    assert str(Place(tmp_path, text, ("rows", 1))) == f"{tmp_path}:3 (rows[1])"
    assert str(Place(tmp_path, text, ("rows", 7))) == f"{tmp_path} (rows[7])"


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3", ":3: not readable as YAML: key 'a' occurs twice in one mapping"),
        ("- {a: {a: 1, a: 2}}", ":1: not readable as YAML: key 'a' occurs twice"),
        (BOMB, ": the aliases make the file too large"),
        ("a: &x [*x]", ": the aliases make the file too large"),
        ("[" * 5000, ":1: not readable as YAML: exceeded maximum nesting depth"),
        ("a: !!python/object:os.system x", ":1: not readable as YAML: could not determine a constructor"),
        ("a: !!timestamp foo", ": not readable as YAML"),
        ("a: !!bool maybe", ": not readable as YAML"),
        ('a: !!int ""', ": not readable as YAML"),
        ("a: 2001-13-45", ": not readable as YAML: month must be in 1..12"),
        ("a: b\n---\nc: d", ":2: not readable as YAML: but found another document"),
        ("a: [", ":2: not readable as YAML"),
        ("? [a, b]\n: 1", ":1: not readable as YAML: found unhashable key"),
    ],
    ids=lambda value: value[:20],
)
def test_a_mistake_in_yaml_is_one_error(tmp_path, text, message):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as raised:
        read_yaml(path)
    assert str(raised.value).startswith(f"{path}{message}")


def test_small_aliases_and_merged_keys_are_taken(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text("d: &d {a: 1}\ne: &e\n  <<: *d\n  a: 2\nf:\n  <<: *e\n  a: 3\n")
    assert read_yaml(path) == {"d": {"a": 1}, "e": {"a": 2}, "f": {"a": 3}}
    path.write_text("")
    assert read_yaml(path) is None


def test_read_json_reads_a_file_with_a_byte_order_mark(tmp_path):
    (tmp_path / "x.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "x.json") == {"a": 1}


ITEMS = st.lists(st.text("ab ", min_size=1, max_size=4).filter(str.strip), min_size=1, max_size=30)


@given(ITEMS, st.floats(0.05, 0.95), st.randoms())
def test_a_division_depends_on_the_items_alone_and_parts_no_repeated_item(texts, share, rng):
    examples = [Example(t, "x") for t in texts]
    if len({e.content for e in examples}) < 2:
        with pytest.raises(UserError, match="too few items"):
            divided(examples, share, "x")
        return
    parts = divided(examples, share, "x")
    assert parts["train"] and parts["test"] and len(parts["train"]) + len(parts["test"]) == len(examples)
    train, test = ({e.content for e in parts[part]} for part in ("train", "test"))
    assert not train & test
    shuffled = list(examples)
    rng.shuffle(shuffled)
    assert {e.content for e in divided(shuffled, share, "x")["test"]} == test


def test_unsound_items_are_an_error_where_they_stand_or_left_out():
    items = [("f:1", Example("a", "x")), ("f:2", Example("b", None)), ("f:3", Example("c", "y"))]
    with pytest.raises(UserError, match=r"^f:2: the output is empty.*unsound=skip"):
        sound(items, (), {"unsound": "refuse"}, "f")
    assert [e.input for e in sound(items, (), {"unsound": "skip"}, "f")] == ["a", "c"]
    with pytest.raises(UserError, match=r"^f: no example can be used;"):
        sound(items[1:2], (), {"unsound": "skip"}, "f")
    with pytest.raises(UserError, match="f:9: the examples have different forms; found options after text"):
        sound([*items[:1], ("f:9", Example("d", "x", ("x", "y")))], (), {"unsound": "refuse"}, "f")
    mixed = [("f:1", Example("d", "x", ("x", "y"))), *items]
    assert [e.input for e in sound(mixed, (), {"unsound": "skip"}, "f")] == ["d"]


def test_a_line_break_in_an_answer_becomes_a_blank():
    assert one_line("two \n\n lines") == "two lines" and one_line("two  blanks") == "two  blanks"


@given(st.text("aé\n {}", min_size=2), st.sampled_from(["utf-16", "utf-16-le", "utf-16-be", "cp1252"]))
def test_the_way_out_for_another_encoding_gives_the_text(tmp_path_factory, text, encoding):
    path = tmp_path_factory.mktemp("coded") / "t.txt"
    path.write_bytes(text.encode(encoding))
    try:
        assert read_text(path) == text  # ASCII only
    except UserError as error:
        advised = re.search(r"iconv -f (\S+) -t UTF-8", str(error))
        assert path.read_bytes().decode(advised[1]).removeprefix("\ufeff") == text


@pytest.mark.parametrize(
    ("name", "pack"), [("gzip", gzip.compress), ("bzip2", bz2.compress), ("xz", lzma.compress), ("zip", zipped)]
)
def test_a_packed_file_is_named_as_one(tmp_path, name, pack):
    (tmp_path / "t.jsonl").write_bytes(pack(b'{"input": "a"}\n'))
    with pytest.raises(UserError, match=rf"Unpack it first \({name}"):
        list(read_lines(tmp_path / "t.jsonl"))


def test_a_line_that_came_by_the_pipe_is_one_of_standard_input():
    assert (at_line("a.csv", 3), at_line(STANDARD_INPUT, 3)) == ("a.csv:3", "standard input:3")
