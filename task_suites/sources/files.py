"""Reading files that nobody has checked: every mistake in one is a `UserError` with file and line.

Text is UTF-8 (a byte order mark and CRLF are taken), files are at most `MAX_BYTES` long, JSON and YAML have no key
twice, and no name or link leads out of the folder that the user named.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from task_suites.errors import UserError

MAX_BYTES = 1 << 29  # of a file; JSON takes some five times that in memory
MAX_YAML = 1 << 22  # of a YAML file, in bytes
MAX_NODES = 1_000_000  # of a YAML file, its aliases written out
LOCATED = 1 << 23  # characters of JSON up to which the line of a mistake is looked for (2 s)
_LONE = re.compile(r"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]")
_YAML_MISTAKES = (
    *(yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError),  # what constructors of tagged values raise
    *(RecursionError, OverflowError),
)


def inside(folder: Path, name: str | Path) -> Path:
    """`folder / name`, which need not exist.

    Raises:
        UserError: the name is absolute, climbs with ``..``, is not a file's name at all, or leads out of the folder by
            a link.
    """
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts or "\0" in str(name):
        raise UserError(f"not a name within the folder: {str(name)[:80]!r}", where=folder)
    try:
        real = (folder / relative).resolve()
        if real.is_relative_to(folder.resolve()):
            return folder / relative
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name that is too long
        raise UserError(f"cannot be followed ({error})", where=folder / relative) from None
    raise UserError("a link out of the folder", where=folder / relative, found=real, expected=f"a place in {folder}")


def listing(folder: Path) -> list[str]:
    """The names in a folder, sorted, without hidden ones.

    Raises:
        UserError: there is no such folder, it cannot be read, or a name in it is not Unicode text.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
        "".join(names).encode()
    except UnicodeEncodeError as error:
        raise UserError("a file's name is not UTF-8", where=folder, found=repr(error.object[:80])) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot be read ({reason})", where=folder, expected="a folder") from None
    return names


def open_file(path: Path, limit: int = MAX_BYTES) -> BinaryIO:
    """An ordinary file, opened for reading bytes.

    Raises:
        UserError: it is not there, not an ordinary file (a pipe would never end), too long or not readable.
    """
    try:
        if os.path.exists(path) and not path.is_file():
            raise UserError("not a file", where=path)
        file = path.open("rb")
        size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot be read ({reason})", where=path) from None
    if size > limit:
        file.close()
        raise UserError("the file is too long", where=path, found=f"{size} bytes", expected=f"at most {limit}")
    return file


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """A file's text, line ends as in the file.

    Raises:
        UserError: see `open_file`; or not UTF-8, or a NUL in it, both with the line.
    """
    with open_file(path, limit) as file:
        return decoded(_bytes(file, path), path)


def decoded(data: bytes, path: Path, first: int = 1) -> str:
    """Text from UTF-8 bytes that begin at line `first` of `path`.

    Raises:
        UserError: not UTF-8, or a NUL.
    """
    try:
        text = data.decode("utf-8-sig" if first == 1 else "utf-8")  # some editors begin with a byte order mark
    except UnicodeDecodeError as error:
        where = f"{path}:{first + data.count(10, 0, error.start)}"
        raise UserError("not UTF-8", where=where, found=f"{data[error.start : error.end]!r}") from None
    if (nul := text.find("\0")) >= 0:
        raise UserError("a NUL character", where=f"{path}:{first + text.count(chr(10), 0, nul)}", expected="text")
    return text


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, line without its end) of a text file, one after the other; LF and CRLF end a line.

    Raises:
        UserError: see `read_text`.
    """
    with open_file(path) as file:
        number = 0
        while line := _bytes(file, path, line=True):
            number += 1
            yield number, decoded(line, path, number).removesuffix("\n").removesuffix("\r")


def _bytes(file: BinaryIO, path: Path, line: bool = False) -> bytes:
    try:
        return file.readline() if line else file.read()
    except (OSError, MemoryError) as error:
        raise UserError(f"cannot be read ({getattr(error, 'strerror', None) or 'no memory'})", where=path) from None


# --- JSON -------------------------------------------------------------------------------------------------------------


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        UserError: see `read_text` and `parse_json`.
    """
    return parse_json(read_text(path), path)


def read_json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    """("file:line", value) of a file with one JSON value a line.

    Raises:
        UserError: see `read_text` and `parse_json`; or an empty line.
    """
    lines = read_lines(path)
    for number, line in lines:
        where = f"{path}:{number}"
        if not line.strip():
            if number == 1 and next(lines, None) is None:
                return  # a line break alone is an empty file
            raise UserError("empty line", where=where, expected="one JSON object a line")
        yield where, parse_json(line, where, lines=False)


def parse_json(text: str, where: object, lines: bool = True) -> Any:
    """The value of a JSON text.

    Args:
        where: heads the errors; with `lines`, followed by the line within the text.

    Raises:
        UserError: not JSON, nested too deeply, a key twice in one object, NaN or Infinity, half of a surrogate pair.
    """
    try:
        value = json.loads(text, object_pairs_hook=unique, parse_constant=_no_constant)
        if _LONE.search(text):  # perhaps: the backslash may be escaped itself
            json.dumps(value, ensure_ascii=False).encode()
        return value
    except _Twice as error:
        line = _line_of(text, error.key) if lines else None
        raise UserError(f"key {error.key!r} occurs twice in one object", where=_at(where, line)) from None
    except UnicodeEncodeError as error:
        found = f"half of a surrogate pair in {error.object[max(0, error.start - 30) : error.start + 30]!r}"
        match = _LONE.search(text) if lines else None
        line = text.count("\n", 0, match.start()) + 1 if match else None
        raise UserError("not Unicode text", where=_at(where, line), found=found, expected="whole characters") from None
    except (ValueError, RecursionError, MemoryError) as error:
        line = text.count("\n", 0, error.pos) + 1 if lines and isinstance(error, json.JSONDecodeError) else None
        start = text.rfind("\n", 0, error.pos) + 1 if line and isinstance(error, json.JSONDecodeError) else 0
        reason = error if line is None else getattr(error, "msg", error)
        found = repr(text[start : start + 60])
        raise UserError(f"not JSON ({reason or type(error).__name__})", where=_at(where, line), found=found) from None


class Place:
    """Where a part of a JSON file stands, for errors: `str` gives "file:line", looked for when an error asks.

    Args:
        path: the file.
        text: its text.
        keys: the keys and indices that lead from the file's value to the part, an object.
    """

    def __init__(self, path: Path, text: str, keys: Sequence[str | int]):
        self.path, self.text, self.keys = path, text, keys

    def __str__(self) -> str:
        line = _line_of(self.text, None, self.keys)
        name = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.keys).removeprefix(".")
        return _at(self.path, line) + (f" ({name})" if name else "")


class _Twice(ValueError):
    def __init__(self, key: str):
        self.key = key


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object from its members (`object_pairs_hook`); a key that occurs twice is a ValueError."""
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _Twice(key)
            seen.add(key)
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def _at(where: object, line: int | None) -> str:
    return f"{where}:{line}" if line else f"{where}"


def _line_of(text: str, twice: str | None, keys: Sequence[str | int] = ()) -> int | None:
    """The line on which an object begins: the first with the key `twice` in it twice, or the one that `keys` lead to.

    The decoder in C does not say where it is; this runs the one in Python again, for the error's sake.
    """
    if len(text) > LOCATED:
        return None
    starts: dict[int, int] = {}
    decoder: Any = json.JSONDecoder(object_pairs_hook=unique)
    parse = decoder.parse_object

    def parse_object(at: tuple[str, int], *rest: Any) -> Any:
        try:
            value, end = parse(at, *rest)
        except _Twice as error:
            error.args = error.args if isinstance(error.args[0], int) else (at[1],)
            raise
        starts[id(value)] = at[1]
        return value, end

    decoder.parse_object = parse_object
    decoder.scan_once = json.scanner.py_make_scanner(decoder)  # type: ignore[attr-defined]
    try:
        value = decoder.decode(text)
        for key in keys:
            value = value[key]
        start = starts.get(id(value))
    except _Twice as error:
        start = error.args[0]
    except (ValueError, LookupError, TypeError, RecursionError):
        start = None
    return None if start is None else text.count("\n", 0, start) + 1


# --- YAML -------------------------------------------------------------------------------------------------------------


def read_yaml(path: Path) -> Any:
    """The value in a YAML file, read without running anything; aliases are taken as far as they stay small.

    Raises:
        UserError: see `read_text`; or not YAML, a key twice, several documents, or aliases that grow beyond
            `MAX_NODES` or into a circle.
    """
    text = read_text(path, MAX_YAML)
    loader = _yaml_loader()(io.StringIO(text))
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}, ()) > MAX_NODES:
            raise UserError("the aliases make the file too large", where=path, expected=f"at most {MAX_NODES} values")
        return loader.construct_document(node)
    except UserError:
        raise
    except _YAML_MISTAKES as error:
        mark = getattr(error, "problem_mark", None)
        reason = " ".join(str(getattr(error, "problem", None) or error or type(error).__name__).split())[:200]
        raise UserError(f"not readable as YAML: {reason}", where=_at(path, mark.line + 1 if mark else None)) from None
    finally:
        loader.dispose()


@cache
def _yaml_loader() -> Any:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml: ten times as fast, nests 1,000 deep at most


def _size(node: Any, known: dict[int, float], above: tuple[int, ...]) -> float:
    """The number of values below a node, aliases written out; infinite for a circle.

    Raises:
        yaml.constructor.ConstructorError: a key twice in one mapping.
    """
    if id(node) in above:
        return math.inf
    if id(node) not in known:
        below = [node.value] if isinstance(node, yaml.ScalarNode) else node.value
        if isinstance(node, yaml.MappingNode):
            keys = [(key.tag, key.value) for key, _ in below if isinstance(key, yaml.ScalarNode)]
            if len(set(keys)) != len(keys):
                (_, twice), _ = Counter(keys).most_common(1)[0]
                problem = f"key {twice!r} occurs twice in one mapping"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        children = [child for item in below for child in (item if isinstance(item, tuple) else (item,))]
        above = (*above, id(node))
        known[id(node)] = 1.0 + sum(_size(c, known, above) for c in children if isinstance(c, yaml.Node))
    return known[id(node)]
