"""Which addresses are opened, and when."""

import socket
import threading

import pytest
from typer.testing import CliRunner

from stages import __main__ as commands
from stages.around import serving
from stages.aside import browser


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(browser.webbrowser, "open", found.append)
    return found


def ended() -> None:
    for thread in threading.enumerate():
        if thread.name == browser.WAITS:
            thread.join(10)


def test_an_address_without_a_port_is_opened_at_once(opened):
    browser.show("file:///page.html")
    assert opened == ["file:///page.html"]


def test_a_server_s_address_is_opened_once_it_listens(opened):
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        browser.show("http://here", server.getsockname()[1])
        assert not opened
        server.listen()
        ended()
    assert opened == ["http://here"]


def test_a_server_that_never_listens_opens_nothing(opened, monkeypatch):
    monkeypatch.setattr(browser, "PATIENCE", 0.1)
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        browser.show("http://here", bound.getsockname()[1])
        ended()
    assert not opened


@pytest.mark.parametrize(("words", "display", "is_shown"), [
    ([], "", False), ([], ":0", True), (["--no-show"], ":0", False), (["--show"], "", True),
])  # fmt: skip
def test_a_browser_is_opened_where_there_is_a_screen_or_it_is_asked_for(monkeypatch, words, display, is_shown):
    given = []
    monkeypatch.setattr(serving, "serve", lambda port, show: given.append((port, show)) or 0)
    monkeypatch.setattr(browser.sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", display)
    done = CliRunner().invoke(commands.build("ui"), ["ui", "--port", "7000", *words])
    assert done.exit_code == 0, done.output
    assert given == [(7000, browser.show if is_shown else None)]
