"""Archives and servers that give a data set's files, or seem to: what they hold, what they lead to, what they never end."""

import gzip
import hashlib
import io
import random
import re
import struct
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from judging import Answer, Case, function

from nasir.data.fetch.sources import fetch
from nasir.data.fetch.transfer import Patience
from nasir.data.manifest import Dataset, Entry

FILES = {"train/a.png": bytes(range(256)) * 8, "test/b.png": bytes(range(255, -1, -1)) * 8}

PATIENCE = Patience(tries=2, timeout_s=0.3, backoff_s=0.01)


def dataset() -> Dataset:
    """Two files."""
    entries = tuple(
        Entry(
            path=path, split=path.partition("/")[0], bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), width=1,
            height=1, mode="L",
        )
        for path, data in FILES.items()
    )  # fmt: skip
    return Dataset(name="two", entries=entries, sources=(), is_shipped=False, terms="none", remedy="ask its maker")


def fetched(name: str, data: bytes, good: bool = False) -> Callable[[Path], Answer]:
    """Fetch from an archive, and where `good` from a folder with all files that is named behind it."""

    def act(place: Path) -> Answer:
        (place / name).write_bytes(data)
        mirrors = [str(place / name)]
        if good:
            for path, content in FILES.items():
                (place / "good" / path).parent.mkdir(parents=True)
                (place / "good" / path).write_bytes(content)
            mirrors.append(str(place / "good"))
        return function(lambda: fetch(dataset(), place / "out", mirrors, lambda step, news: None, PATIENCE))

    return act


def are_right(place: Path) -> None:
    """The two files and nothing else."""
    found = {path.relative_to(place / "out").as_posix(): path.read_bytes() for path in (place / "out").rglob("*.*")}
    assert found == FILES, sorted(found)


def zipped(*members: tuple[str, bytes, int], method: int = zipfile.ZIP_DEFLATED, whole: bool = True) -> bytes:
    """A zip of (name, content, mode) and, where it is `whole`, of the two files."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", method) as archive:
        for name, content, mode in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = mode << 16, method
            archive.writestr(info, content)
        for name, content in FILES.items() if whole else ():
            archive.writestr(name, content)
    return data.getvalue()


def tarred(*members: tuple[str, bytes, str, bytes], form: str = "w:gz", size: int | None = None) -> bytes:
    """A tar of (name, type, link, content) and of the two files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=form) as archive:
        for name, kind, link, content in members:
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, link, len(content) if size is None else size
            archive.addfile(info, io.BytesIO(content))
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return data.getvalue()


LINK = 0o120777

OUTSIDE = (
    "/etc/ran",
    "../ran",
    "a/../../ran",
    "..\\ran",
    "C:\\ran",
    "C:ran",
    "\\\\host\\ran",
    "//ran",
    "a/../../beside/kept",
)


def leading_out() -> Iterator[tuple[str, bytes]]:
    """Members that would lie elsewhere, or lead there."""
    for place in OUTSIDE:
        yield f"{place}.zip", zipped((place, b"x", 0o644))
        yield f"{place}.tgz", tarred((place, tarfile.REGTYPE, "", b"x"))
        yield f"link to {place}.zip", zipped(("link", place.encode(), LINK))
        yield f"link to {place}.tgz", tarred(("link", tarfile.SYMTYPE, place, b""))
    yield "hard link.tgz", tarred(("link", tarfile.LNKTYPE, "../ran", b""))


def _pax_bomb(megabytes: int) -> bytes:
    """A tar whose pax header claims so much, and has it, packed by gzip."""
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, megabytes << 20
    data = io.BytesIO()
    with gzip.GzipFile(fileobj=data, mode="w", compresslevel=9) as file:
        file.write(header.tobuf())
        for _ in range(megabytes):
            file.write(b"\0" * (1 << 20))
        for name, content in FILES.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.write(info.tobuf() + content)
    return data.getvalue()


def broken() -> Iterator[tuple[str, bytes, str]]:
    """Archives that are torn, changed, locked, of other methods, or claim more than there is."""
    whole, tar, packed = zipped(), tarred(), {"xz": tarred(form="w:xz"), "bz2": tarred(form="w:bz2")}
    for share in (0, 0.2, 0.5, 0.8, 0.97):
        yield f"{share}.zip", whole[: int(share * len(whole))], "refused"
        yield (
            f"{share}.tgz",
            tar[: int(share * len(tar))],
            "either" if share > 0.9 else "refused",
        )  # both files may be there
    for name, data in packed.items():
        yield f"{name}.tar", data[: len(data) // 2], "refused"
        yield f"{name}-zeros.tar", data[:40] + bytes(60) + data[100:], "refused"
    for method, name in ((zipfile.ZIP_LZMA, "lzma"), (zipfile.ZIP_BZIP2, "bzip2"), (zipfile.ZIP_DEFLATED, "deflate")):
        data = zipped(method=method)
        start = data.index(b"train/a.png") + len("train/a.png")
        yield f"{name}-zeros.zip", data[: start + 4] + bytes(20) + data[start + 24 :], "refused"
        yield f"{name}-ones.zip", data[: start + 9] + b"\xff" * 20 + data[start + 29 :], "refused"
    for method in (1, 9, 14, 93, 99):
        yield f"method-{method}.zip", _with_method(whole, method), "refused"
    yield "locked.zip", _locked(whole), "refused"
    yield "many.zip", whole[:-12] + struct.pack("<HHIIH", 2, 2, 2**32 - 1, 2**32 - 1, 0)[:12], "refused"
    yield "text.zip", b"<html>404</html>", "refused"
    yield "text.tgz", b"<html>404</html>", "refused"
    yield "zip.tgz", whole, "refused"
    yield "tar.zip", tar, "refused"
    yield "bytes.gz.tar", gzip.compress(b"x" * 1000), "refused"
    yield "a directory alone.zip", zipped(("train/a.png/", b"", 0o40755), whole=False), "refused"
    yield (
        "files of other bytes.zip",
        zipped(*((name, bytes(len(data)), 0o644) for name, data in FILES.items()), whole=False),
        "refused",
    )
    yield (
        "files of more bytes.zip",
        zipped(*((name, data + b"x" * 10**7, 0o644) for name, data in FILES.items()), whole=False),
        "refused",
    )
    yield "pax.tgz", _pax_bomb(64), "refused"
    chance = random.Random(0)
    for number in range(12):
        for name, data in (("zip", whole), ("tgz", tar)):
            changed = bytearray(data)
            changed[chance.randrange(len(changed))] ^= 1 << number % 8
            yield f"flip-{number}.{name}", bytes(changed), "either"
    devices = {
        "device": tarfile.CHRTYPE,
        "block device": tarfile.BLKTYPE,
        "pipe": tarfile.FIFOTYPE,
        "folder": tarfile.DIRTYPE,
    }
    for name, kind in devices.items():  # under a name that is wanted; the right file stands behind it
        yield f"{name}.tgz", tarred(("train/a.png", kind, "", b"")), "done"
    yield "link inside.tgz", tarred(("train/a.png", tarfile.SYMTYPE, "../test/b.png", b"")), "done"
    yield "script first.zip", zipped(("setup.py", b"open('ran', 'w')", 0o755)), "done"
    yield "a name twice.zip", zipped(("x/train/a.png", b"other", 0o644)), "done"
    yield "names with escapes.zip", zipped(("\x1b[31m", b"x", 0o644)), "done"


def _of(content: bytes) -> bytes:
    """A zip with other content under the names that are wanted."""
    return zipped(*((name, content, 0o644) for name in FILES), whole=False)


def _with_method(data: bytes, method: int) -> bytes:
    """A zip that says it was packed in another way."""
    changed = bytearray(data)
    for mark, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        place = data.index(mark)
        changed[place + offset : place + offset + 2] = struct.pack("<H", method)
    return bytes(changed)


def _locked(data: bytes) -> bytes:
    """A zip that says it has a password."""
    changed = bytearray(data)
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        start = 0
        while (place := data.find(mark, start)) >= 0:
            changed[place + offset] |= 1
            start = place + 4
    return bytes(changed)


Serve = Callable[[BaseHTTPRequestHandler], None]


def _says(*lines: str, body: bytes = b"", pause: float = 0, times: int = 1) -> Serve:
    """Answers with this head, and this body so often, with a pause before each."""

    def serve(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        for _ in range(times):
            time.sleep(pause)
            handler.wfile.write(body)
            handler.wfile.flush()

    return serve


def servers() -> Iterator[tuple[str, Serve]]:
    """Servers that do not give what they should."""
    yes = "HTTP/1.0 200 OK"
    yield "a length of letters", _says(yes, "Content-Length: abc", body=b"x" * 100)
    yield "a length below 0", _says(yes, "Content-Length: -5", body=b"x" * 100)
    yield "a length too large", _says(yes, "Content-Length: 99999999999999999999", body=b"x" * 100)
    yield "no HTTP", _says("hello", body=b"x" * 100)
    yield "no answer", _says(pause=1)
    yield "closed at once", lambda handler: None
    yield "500", _says("HTTP/1.0 500 Down")
    yield "404", _says("HTTP/1.0 404 Gone")
    yield "a status of letters", _says("HTTP/1.0 abc Fine")
    yield "redirected to itself", _says("HTTP/1.0 302 There", "Location: /data")
    yield "redirected to a file", _says("HTTP/1.0 302 There", "Location: file:///etc/passwd")
    yield "gzip that is none", _says(yes, "Content-Encoding: gzip", body=b"no gzip")
    yield "chunks that are none", _says("HTTP/1.1 200 OK", "Transfer-Encoding: chunked", body=b"zz\r\nabc")
    yield "a body without end", _says(yes, body=b"x" * 65_536, times=2000)
    yield "a byte now and then", _says(yes, "Content-Length: 2048", body=b"x", pause=0.2, times=60)
    yield "a head of 100,000 lines", _says(yes, *(f"X-{number}: y" for number in range(100_000)))


@contextmanager
def _served(serve: Serve) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with suppress(OSError):  # who asked is gone
                serve(self)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.socket.close()


def asked(serve: Serve, path: str) -> Callable[[Path], Answer]:
    """Fetch from such a server."""

    def act(place: Path) -> Answer:
        with _served(serve) as url:
            return function(lambda: fetch(dataset(), place / "out", [url + path], lambda step, news: None, PATIENCE))

    return act


MIRRORS = (
    "http://",
    "http://[::1",
    "http://a b/",
    "http://127.0.0.1:99999/x",
    "ftp://x/y",
    "file:///etc",
    "\x1b[31m",
    "~nobody/x",
    "/dev/null",
    "a" * 5000,
)


def cases() -> Iterator[Case]:
    """All of them."""
    for name, data in leading_out():
        file = name.replace("/", "_").replace("\\", "_")
        yield Case(kind="archives that lead outside", name=name, act=fetched(file, data), named="do not trust")
    for name, data, ends in broken():
        kind = "broken archives"
        yield Case(
            kind=kind,
            name=name,
            act=fetched(name, data),
            named=re.escape(name),
            ends=ends,
            keeps=FILES,
            check=are_right,
        )
        if ends == "refused":
            yield Case(
                kind=kind,
                name=f"{name} before a good place",
                act=fetched(name, data, good=True),
                ends="done",
                check=are_right,
            )
    for name, serve in servers():
        yield Case(kind="servers", name=name, act=asked(serve, "/data"), named="127.0.0.1")
        yield Case(kind="servers", name=f"{name}, for an archive", act=asked(serve, "/data.zip"), named="127.0.0.1")
    for mirror in MIRRORS:

        def act(place: Path, mirror: str = mirror) -> Answer:
            return function(lambda: fetch(dataset(), place / "out", [mirror], lambda step, news: None, PATIENCE))

        yield Case(kind="servers", name=f"mirror {mirror[:20]!r}", act=act, named="Looked in")
