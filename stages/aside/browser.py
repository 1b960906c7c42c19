"""Pages opened in the browser of a person who sits before a screen."""

import os
import socket
import sys
import threading
import time
import webbrowser

PATIENCE = 120.0
"""Seconds that a server may take until it listens."""

WAITS = "waits for a server"
"""Name of the thread that does."""


def has_screen() -> bool:
    """Whether a window can be opened: on macOS and Windows, and elsewhere where a display is named."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show(address: str, port: int | None = None) -> None:
    """Open an address; with `port`, behind the caller's back as soon as that port of this machine listens, if it ever does."""
    if port is None:
        webbrowser.open(address)
    else:
        threading.Thread(target=_wait, args=(address, port), name=WAITS, daemon=True).start()


def _wait(address: str, port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                webbrowser.open(address)
                return
        time.sleep(0.5)
