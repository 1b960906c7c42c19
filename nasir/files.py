"""Files written whole or not at all, and the small formats that steps exchange.

Every writer puts its bytes into a temporary file in the same folder, forces them to disk and renames it, so a killed
run leaves either the old file or the new one under the final name.
"""

import csv
import errno
import hashlib
import io
import json
import os
import socket
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nasir.messages import shown

Log = Callable[[int, dict[str, float]], None]
"""What a step calls when it has news: `log(step, {"train_loss": 0.01})`."""


MOST_SHOWN = 300
"""Characters of a file's value in a message."""

LONGEST_NAME = 200
"""Bytes of a name that stand in that of its temporary file; a character has 4 at most, a name 255 on most systems."""


def require_writable(path: Path) -> None:
    """Refuse a path that no file can be written to, before the work whose result it is to hold; nothing is left behind.

    Raises:
        ValueError: if it is a folder, if its name is too long, or if its folder, or that to make it in, takes no files.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        _try_file(path.absolute().parents)
    except OSError as error:
        raise _unwritable(path, error) from error


def require_writable_folder(path: Path) -> None:
    """The same of a folder, which may be there or not.

    Raises:
        ValueError: if it is a file, or it, or the folder to make it in, takes no files.
    """
    try:
        _try_file([path.absolute(), *path.absolute().parents])
    except OSError as error:
        raise ValueError(f"{path} cannot be written into ({error.strerror or error}); name another folder.") from error


def _try_file(folders: Sequence[Path]) -> None:
    """Make a file without a name in the first of these folders that exists."""
    tempfile.TemporaryFile(dir=next(folder for folder in folders if folder.exists())).close()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around what writes a person's file: an error of the system becomes a ValueError that names it."""
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: OSError) -> ValueError:
    return ValueError(f"{path} cannot be written ({error.strerror or error}); name another file.")


def as_unicode(name: str) -> str:
    """A file's name with each byte that is no UTF-8 as \\xff; other names as they are."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` to `path` atomically, creating its folder; an error of the system, a full disk, say, names `path`."""
    try:
        _write_bytes(path, data)
    except OSError as error:
        if error.errno is not None:
            error.filename, error.filename2 = str(path), None
        raise


_HOST = f"{zlib.crc32(socket.gethostname().encode()):08x}"
"""Of a temporary file's name: only its own machine knows whether a process is alive."""


def drop_leftovers(folder: Path, is_deep: bool = False) -> None:
    """Remove from a folder, and where it is deep from those below, what processes left that were killed while they wrote."""
    for path in folder.rglob(f".*.{_HOST}-*.part") if is_deep else folder.glob(f".*.{_HOST}-*.part"):
        pid = path.name.rpartition(f".{_HOST}-")[2].partition("-")[0]
        if pid.isdecimal() and not _is_alive(int(pid)):
            path.unlink(missing_ok=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _write_bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.name if len(os.fsencode(path.name)) <= LONGEST_NAME else path.name[: LONGEST_NAME // 4]
    prefix = f".{name}.{_HOST}-{os.getpid()}-"
    handle, temporary = tempfile.mkstemp(prefix=prefix, suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically; of names of files that are no UTF-8 see `as_unicode`."""
    write_bytes(path, as_unicode(text).encode())


def write_json(path: Path, value: object) -> None:
    """Write a plain value as indented JSON; NaN and infinity are refused, since JSON has neither."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        ValueError: if there is no such file, or it is no JSON, has a key twice in one object, or is nested without end.
    """
    data = _existing(path).read_bytes()
    try:
        return json.loads(data.decode(), parse_constant=_refuse_constant, object_pairs_hook=_to_object)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} must hold JSON, got {error}; run the step that writes it again.") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name}, which JSON does not have")


def _to_object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} twice")
        found[key] = value
    return found


def write_csv(path: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Write rows under a header; a row with missing or further keys is refused.

    Floats are written with `repr`, so that reading them back gives the same number.
    """
    lines = [_to_line(columns)]
    for row in rows:
        if set(row) != set(columns):
            raise ValueError(f"a row for {path} must have the columns {list(columns)}, got {list(row)}.")
        lines.append(_to_line([row[column] for column in columns]))
    write_text(path, "".join(lines))


def _to_line(values: Sequence[object]) -> str:
    """A line of a CSV file. Either half of "\\r\\n" is put in quotes because the writer ends its lines so; ours end in "\\n"."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"


def read_csv(path: Path, columns: Sequence[str] = (), is_full: bool = True) -> list[dict[str, str]]:
    """Read all rows of a CSV file with a header.

    Args:
        path: the file.
        columns: that it must have; it may have others.
        is_full: whether a file without rows is refused, too.

    Raises:
        ValueError: if there is no such file, if it is no CSV of UTF-8 text, has a column twice or not at all, a row of another
            length than its header, or no row.
    """
    remedy = "run the step that writes it again"
    try:
        with _existing(path).open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            header, rows = list(reader.fieldnames or ()), list(reader)
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} must be a CSV file of UTF-8 text, got {error}; {remedy}.") from error
    if len(set(header)) < len(header) or not set(columns) <= set(header):
        wanted = f"the columns {list(columns)}" if columns else "a header"
        raise ValueError(f"{path} must have {wanted}, each once, got {shortened(header)}; {remedy}.")
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ValueError(
                f"row {number} of {path} must have {len(header)} values, as its header, got others; {remedy}."
            )
    if is_full and not rows:
        raise ValueError(f"{path} must hold at least one row, got none; {remedy}.")
    return rows


def to_int(row: Mapping[str, str], column: str, path: Path) -> int:
    """A whole number of a row of a CSV file; anything else is refused with the file's name."""
    try:
        return int(row[column])
    except ValueError as error:
        raise _no_number(row[column], f"{path}: {column} must be a whole number") from error


def to_float(row: Mapping[str, str], column: str, path: Path) -> float:
    """A number of a row of a CSV file, which may be infinite or NaN; anything else is refused with the file's name."""
    try:
        return float(row[column])
    except ValueError as error:
        raise _no_number(row[column], f"{path}: {column} must be a number") from error


def _no_number(text: str, expected: str) -> ValueError:
    return ValueError(f"{expected}, got {shortened(text)}; run the step that writes it again.")


def shortened(value: object) -> str:
    """A value out of a file as a message has it."""
    return shown(value, MOST_SHOWN)


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with _existing(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"expected a file at {path}, got none; check the path, or run the step that writes it.")
    return path
