"""MLflow's pages on loopback, beside the report's."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from urllib.parse import quote, urlencode

from stages.around import tracking
from stages.around.sending.delivery import PIPELINE
from stages.around.sending.server import Server, artifact_folder

PIPELINES = f"tags.`nasir.stage` = '{PIPELINE}'"
"""The filter that `serve` begins with."""


def serve(port: int, show: Callable[[str, int | None], None] | None = None) -> int:
    """Print the addresses of the report's page and of MLflow's, and serve the latter on loopback until interrupted.

    Args:
        port: to serve on.
        show: called with each address, and with the port where it does not answer yet.

    Returns:
        The exit status.
    """
    page, uri = tracking.checkout() / "reports" / "index.html", tracking.tracking_uri()
    print(f"Report: {page.as_uri()}" if page.is_file() else "Report: none yet; dvc repro makes reports/index.html")
    if show is not None and page.is_file():
        show(page.as_uri(), None)
    if uri.startswith(("http://", "https://")):
        print(f"MLflow: {uri}")
        if show is not None:
            show(uri, None)
        return 0
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ValueError(f"port {port} must be free for the MLflow UI, but it is in use; name another.") from error
    tracking.folder().mkdir(parents=True, exist_ok=True)
    experiment = Server.connect(uri, tracking.folder()).experiment_id
    command = [sys.executable, "-m", "mlflow", "ui", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri]
    artifacts = artifact_folder(uri)
    if artifacts is not None:
        command += ["--artifacts-destination", str(artifacts)]
    query = urlencode({"workflowType": "machine_learning", "searchFilter": PIPELINES}, quote_via=quote)
    address = f"http://127.0.0.1:{port}/#/experiments/{experiment}/runs?{query}"
    print(f"MLflow: {address}")
    print("It answers after some 20 seconds; Ctrl-C ends it.", flush=True)
    quiet = {name: "true" for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")}
    opened = None if show is None else partial(show, address, port)
    return _run(command, os.environ | quiet | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}, opened)


def _run(command: list[str], environment: Mapping[str, str], opened: Callable[[], None] | None) -> int:
    """Run a server until it ends or is asked to; `opened` is called once it is started. Gives the exit status."""
    servers: list[subprocess.Popen[bytes]] = []
    asked = threading.Event()

    def end(*_: object) -> None:
        """End the server's session whole: asked alone, it would leave its own children behind."""
        asked.set()
        for server in servers:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    servers.append(subprocess.Popen(command, cwd=tracking.checkout(), env=environment, start_new_session=True))
    if asked.is_set():  # before there was a server
        end()
    elif opened is not None:
        opened()
    status = servers[0].wait()
    return 0 if asked.is_set() else status
