"""Reading files that are not trusted: every mistake in one is a `UserError` with file and line.

Text is UTF-8 and may begin with a byte order mark. Lines end at LF or CRLF and at nothing else: the other characters
that Python's `str.splitlines` cuts at (U+2028, U+0085, U+000B and so on) are text. No name and no link leads out of the
folder that the user named.
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from task_suites.core.errors import UserError

STANDARD_INPUT = Path("-")  # as a path, what comes in by the pipe
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte order marks
PACKED = {  # the first bytes of files that are not text
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip, as Excel's files are",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "parquet",
}
MAX_BYTES = 1 << 29  # of a file; JSON takes some five times that in memory


def user_cache() -> Path:
    """Return where what was fetched or measured is kept: METAICL_CACHE, else the user's cache folder."""
    import platformdirs

    return Path(os.environ.get("METAICL_CACHE") or platformdirs.user_cache_dir("metaicl"))


def real(path: Path) -> Path:
    """Return a path with its links followed; one that leads round in a circle is itself (`resolve` raises there)."""
    return Path(os.path.realpath(path))


def inside(folder: Path, name: str | Path) -> Path:
    """Return `folder / name`, which need not exist.

    Raises:
        UserError: the name is absolute, climbs with ``..``, is not a file's name at all, or leads out of the folder by
            a link.
    """
    relative = Path(name)
    if relative.is_absolute() or ".." in relative.parts or "\0" in str(name):
        raise UserError(f"not a name within the folder: {str(name)[:80]!r}", where=folder)
    try:
        path = real(folder / relative)
        if any(part.is_symlink() for part in (path, *path.parents)):  # a circle of links
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    except (OSError, ValueError) as error:  # also a name that is too long
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot be followed ({reason})", where=folder / relative) from None
    if path.is_relative_to(real(folder)):
        return folder / relative
    raise UserError(
        "the link leads out of the folder", where=folder / relative, found=path, expected=f"a path in {folder}"
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal. The file is read in blocks, however large it is."""
    digest = hashlib.sha256()
    with path.open("rb") as data:
        while block := data.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def listing(folder: Path) -> list[str]:
    """Return the names in a folder, sorted, without hidden ones.

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


def open_file(path: Path, limit: int | None = MAX_BYTES) -> BinaryIO:
    """Return an ordinary file, opened for reading bytes.

    Raises:
        UserError: it is not there, not an ordinary file (a pipe would never end), too long or not readable.
    """
    if path == STANDARD_INPUT:
        return sys.stdin.buffer
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError("not a file", where=path)
    try:
        file = path.open("rb")
        size = os.fstat(file.fileno()).st_size
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot be read ({reason})", where=path) from None
    if limit is not None and size > limit:
        file.close()
        raise UserError("the file is too long", where=path, found=f"{size} bytes", expected=f"at most {limit}")
    return file


def read_text(path: Path, limit: int = MAX_BYTES) -> str:
    """Return a file's text, line ends as in the file.

    Raises:
        UserError: see `open_file`; or not UTF-8, or a NUL in it, both with the line.
    """
    with open_file(path, limit) as file:
        return decoded(_bytes(file, path), path)


def decoded(data: bytes, path: Path, first: int = 1) -> str:
    """Return text from UTF-8 bytes that begin at line `first` of `path`.

    Raises:
        UserError: not UTF-8, or a NUL.
    """
    try:
        text = data.decode("utf-8-sig" if first == 1 else "utf-8")  # some editors begin with a byte order mark
    except UnicodeDecodeError as error:
        where = f"{path}:{first + data.count(10, 0, error.start)}"
        fix = _unpacked(data, path) if first == 1 else None
        fix = fix or _converted(data if first == 1 else b"", path)
        raise UserError("not UTF-8", where=where, found=f"{data[error.start : error.end]!r}", fix=fix) from None
    if (nul := text.find("\0")) >= 0:
        where = f"{path}:{first + text.count(chr(10), 0, nul)}"
        fix = None if first > 1 else _unpacked(data, path) or (_converted(data, path) if nul < 2 else None)
        raise UserError("the text has a NUL character", where=where, expected="text", fix=fix)
    return text


def _converted(start: bytes, path: Path) -> str:
    """Return how to make UTF-8 of a file that begins like this."""
    encoding = "UTF-16" if start.startswith(UTF_16) else "WINDOWS-1252"
    if b"\0" in start[:2]:  # without a byte order mark
        encoding = "UTF-16BE" if start[0] == 0 else "UTF-16LE"
    return f"Save it as UTF-8, for example: iconv -f {encoding} -t UTF-8 {path} > NEW."


def _unpacked(data: bytes, path: Path) -> str | None:
    """Return what to do with a file that begins as a packed or a binary one."""
    name = next((name for start, name in PACKED.items() if data.startswith(start)), None)
    if name is None:
        return None
    return (
        "Name it with the ending .parquet." if name == "parquet" else f"Unpack it first ({name}): {path} is not text."
    )


def read_lines(path: Path, limit: int | None = MAX_BYTES) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line without its end) of a text file, one after the other; LF and CRLF end a line, nothing
    else.

    Args:
        limit: the longest file that is read, in bytes; None reads any. Only a line is in memory at a time.

    Raises:
        UserError: see `read_text`.
    """
    with open_file(path, limit) as file:
        number = 0
        while line := _bytes(file, path, line=True):
            number += 1
            yield number, decoded(line, path, number).removesuffix("\n").removesuffix("\r")


def _bytes(file: BinaryIO, path: Path, line: bool = False) -> bytes:
    try:
        return file.readline() if line else file.read()
    except (OSError, MemoryError) as error:
        raise UserError(f"cannot be read ({getattr(error, 'strerror', None) or 'no memory'})", where=path) from None


def at_line(where: object, line: int | None) -> str:
    """Return `file:line`, or the file where the line is not known."""
    if where == STANDARD_INPUT:
        where = "standard input"
    return f"{where}:{line}" if line else f"{where}"
