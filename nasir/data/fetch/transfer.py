"""One file over HTTP: whole, or a clear error; a server that fails for a while is asked again."""

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import requests

CHUNK_BYTES = 1 << 16

SLOWEST = 10_000
"""Bytes a second that a server must give in the mean: one now and then is no transfer."""

PATIENT = 10
"""Times the timeout that it may take beside that."""

MOST_BYTES = 100 * 2**30
"""Of a file whose length nobody knows."""
LINE_EVERY_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to believe in a server."""

    tries: int = 4
    timeout_s: float = 20.0  # without a single byte, for the connection and for each read
    backoff_s: float = 0.5  # before the second try; doubled before each further one

    def __post_init__(self) -> None:
        if self.tries < 1 or self.timeout_s <= 0 or self.backoff_s < 0:
            raise ValueError(f"tries and timeout_s must be positive and backoff_s at least 0, got {self}; correct it.")


class TransferError(OSError):
    """A file that could not be had, with the reason; `status` is the server's last answer, None if it gave none."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status

    @property
    def is_absent(self) -> bool:
        """Whether the server works and says that it has no such file."""
        return self.status in (404, 410)


def download(url: str, path: Path, patience: Patience, size: int | None = None, most: int = MOST_BYTES) -> None:
    """Download one file to `path`, a temporary name: on an error nothing lies there.

    Answers of 5xx, 408 and 429, timeouts, broken connections and bodies of another length than announced (or than
    `size`) are tried again; after k failures the pause is backoff_s 2^(k - 1). Anything else, 404 say, is final.

    Args:
        url: http or https.
        path: where to write; its folder is created.
        patience: tries, timeout and pauses.
        size: the length in bytes that the body must have, where it is known.
        most: bytes that no body may exceed.

    Raises:
        TransferError: with the last reason.
    """
    import requests

    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        for attempt in range(1, patience.tries + 1):
            try:
                return _download_once(url, path, patience.timeout_s, size, most)
            except requests.HTTPError as error:
                response = error.response
                assert response is not None  # raise_for_status always has one
                status = response.status_code
                failure = TransferError(f"answered {status} {response.reason}", status)
                if status < 500 and status not in (408, 429):
                    raise failure from error
            except requests.Timeout:
                failure = TransferError(f"silent for {patience.timeout_s:g} s")
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError) as error:
                failure = TransferError(f"connection broken ({_innermost(error)})")
            except (requests.RequestException, ValueError) as error:  # the latter of what is no host's name
                raise TransferError(f"no file there ({' '.join(str(error).split())})") from error
            except _WrongLength as error:
                failure = TransferError(str(error))
            if attempt < patience.tries:
                time.sleep(patience.backoff_s * 2 ** (attempt - 1))
        raise TransferError(f"{failure}; tried {patience.tries} times", failure.status)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class _WrongLength(Exception):
    """A body that is shorter or longer than it should be."""


def _download_once(url: str, path: Path, timeout_s: float, size: int | None, most: int) -> None:
    import requests

    identity = {"Accept-Encoding": "identity"}  # so that the announced length is the file's
    with requests.get(url, stream=True, timeout=timeout_s, headers=identity) as response:
        response.raise_for_status()
        is_plain = response.headers.get("Content-Encoding", "identity") == "identity"
        announced = response.headers.get("Content-Length", "0") if is_plain else "0"
        if not (announced.isascii() and announced.isdigit() and int(announced[:20]) <= most):
            raise TransferError(f"announced {announced[:40]!r} bytes, expected a number of at most {most}")
        expected = size or int(announced)
        got, seconds = 0, PATIENT * timeout_s + (expected or most) / SLOWEST
        with (
            _within(seconds, response),
            path.open("wb") as file,
            _watch(url.rsplit("/", 1)[-1], expected) as advance,
        ):
            for chunk in response.iter_content(CHUNK_BYTES):
                got += len(chunk)
                if got > (size or most):
                    break  # no server fills the disk
                file.write(chunk)
                advance(len(chunk))
        if not size and got > most:
            raise TransferError(f"gave more than {most} bytes, the most that such a file may have")
    if expected and got != expected:
        raise _WrongLength(f"wrong length: {got} bytes came, {expected} expected")


@contextmanager
def _within(seconds: float, response: "requests.Response") -> Iterator[None]:
    """End a body that takes longer: its connection is closed, which the reader takes for a broken one."""
    timer = threading.Timer(seconds, response.raw.shutdown)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _watch(name: str, total: int) -> Iterator[Callable[[int], object]]:
    """Show a download: a bar with rate and time left on a terminal, a line every ten seconds elsewhere."""
    if sys.stderr.isatty() and total > 10 * CHUNK_BYTES:
        from tqdm import tqdm

        with tqdm(total=total, desc=name, unit="B", unit_scale=True, leave=False) as bar:
            yield bar.update
        return

    done, last_line = 0, time.monotonic()

    def advance(count: int) -> None:
        nonlocal done, last_line
        done += count
        if time.monotonic() > last_line + LINE_EVERY_S:
            last_line = time.monotonic()
            print(f"{name}: {done / 1e6:.1f} of {f'{total / 1e6:.1f}' if total else 'unknown'} MB", file=sys.stderr)

    yield advance


def _innermost(error: BaseException) -> str:
    """The plain reason at the bottom of what requests and urllib3 wrap around it."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    return " ".join(str(error).split()) or type(error).__name__
