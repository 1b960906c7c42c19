"""A server on loopback that fails as it is told and stands before one that does not."""

import http.client
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PASS, HANG, CUT, LOSE, HALF, LATE, GATEWAY, PAGE = "pass", "hang", "cut", "lose", "half", "late", "gateway", "page"
DRIP = "drip"
"""What becomes of a request: answered; never answered; cut off as it is read; stored, and the connection cut before the
answer or in the middle of it; stored after its sender has given up; stored, and answered by a gateway that did not wait
for it; answered by a page of something else; stored, and answered a byte at a time, for longer than a sender should wait."""

DOWN = "down"
"""Nothing listens."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One that came in since the server was told how to fail."""

    number: int  # from 1 on
    is_new: bool  # none with the same method, address and body came before
    path: str


Way = Callable[[Request], str | int]
"""What becomes of a request: a word from above, or the status of an error that it is answered with."""


class FailingServer:
    """Gives requests on to `behind`, unless its way says otherwise; `failed` is set once it has said so."""

    def __init__(self, behind: Callable[[str, str, bytes], tuple[int, bytes]], patience: float) -> None:
        self.behind, self.patience = behind, patience  # patience: seconds in which every sender has given up
        self.failed, self.changed, self.lock = threading.Event(), threading.Event(), threading.Lock()
        self.seen: set[tuple[str, str, bytes]] = set()
        self.way: Way = lambda request: PASS
        self.count = self.late = 0
        self.server: ThreadingHTTPServer | None = None
        self.port = 0
        self._listen()

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fail(self, way: Way | str) -> None:
        """Fail from here on: by a way, or DOWN."""
        with self.lock:
            self.changed.set()
            self.changed, self.seen, self.count = threading.Event(), set(), 0
            self.failed.clear()
            self.way = way if callable(way) else (lambda request: CUT)
        self._close() if way == DOWN else self._listen()

    def come_back(self) -> None:
        """Answer everything from here on, once what is late has come in."""
        self.fail(lambda request: PASS)
        while self.late:
            threading.Event().wait(0.02)

    def close(self) -> None:
        self.come_back()
        self._close()

    def decide(self, method: str, path: str, body: bytes) -> str | int:
        with self.lock:
            key = (method, path, body)
            self.count += 1
            does = self.way(Request(number=self.count, is_new=key not in self.seen, path=path))
            self.seen.add(key)
            self.late += does == LATE
        if does != PASS:
            self.failed.set()
        return does

    def store(self, method: str, path: str, body: bytes) -> tuple[int, bytes]:
        with self.lock:
            return self.behind(method, path, body)

    def _listen(self) -> None:
        if self.server is None:
            self.server = ThreadingHTTPServer(("127.0.0.1", self.port), _handler(self))
            self.server.daemon_threads = True
            self.port = self.server.server_port
            threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def _close(self) -> None:
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.server = None


def _handler(owner: FailingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def _take(self) -> None:
            changed = owner.changed
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = self.command, self.path, body
            does = owner.decide(*request)
            if does == HANG:
                changed.wait(60)
            elif does == LATE:
                changed.wait(owner.patience)
                owner.store(*request)
                with owner.lock:
                    owner.late -= 1
            elif does in (PASS, LOSE, HALF, GATEWAY, DRIP):
                status, answer = owner.store(*request)
                if does in (PASS, HALF):
                    self._answer(status, answer, "application/json", is_half=does == HALF)
                elif does == DRIP:
                    self._drip(status, answer, changed)
                elif does == GATEWAY:
                    self._answer(502, b"<html>Bad gateway</html>", "text/html")
            elif does == PAGE:
                self._answer(200, b"<html>Welcome</html>", "text/html")
            elif isinstance(does, int):
                self._answer(does, b'{"error_code": "INTERNAL_ERROR", "message": "told to"}', "application/json")
            self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _take

        def _answer(self, status: int, body: bytes, kind: str, is_half: bool = False) -> None:
            with suppress(OSError):  # whoever asked has given up
                self._begin(status, kind, len(body))
                self.wfile.write(body[: len(body) // 2] if is_half else body)

        def _begin(self, status: int, kind: str, length: int) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(length))
            self.end_headers()

        def _drip(self, status: int, body: bytes, changed: threading.Event) -> None:
            """Spaces, which JSON may begin with, until the server is told otherwise or has been asked to wait for a minute."""
            with suppress(OSError):
                self._begin(status, "application/json", len(body) + 120)
                for _ in range(120):
                    self.wfile.write(b" ")
                    if changed.wait(0.5):
                        return
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def forward(port: int) -> Callable[[str, str, bytes], tuple[int, bytes]]:
    """What gives requests on to a real server on loopback."""

    def behind(method: str, path: str, body: bytes) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        kind = "application/json" if "/mlflow-artifacts/" not in path else "application/octet-stream"
        connection.request(method, path, body, {"Content-Type": kind} if body else {})
        answer = connection.getresponse()
        found = answer.status, answer.read()
        connection.close()
        return found

    return behind
