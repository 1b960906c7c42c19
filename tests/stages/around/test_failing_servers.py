"""A tracking server may fail in any way: the stage's result is the same, its delay bounded, and each event arrives once."""

import multiprocessing
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from arrivals import PIPELINE, compare
from failing_server import CUT, DOWN, DRIP, GATEWAY, HALF, HANG, LATE, LOSE, PAGE, PASS, FailingServer, Way, forward
from little_mlflow import LittleMlflow
from PIL import Image

from nasir.files import read_json, write_json, write_text
from nasir.settings import Settings, resolve
from stages.around import tracking
from stages.around.runner import around
from stages.around.sending.server import quiet_mlflow

mlflow = pytest.importorskip("mlflow")

# MLflow and what it stands on warn about themselves; stages never load them.
pytestmark = pytest.mark.filterwarnings("ignore")

ROOT = Path(__file__).parents[3]
FORK = multiprocessing.get_context("fork")
PARAMS = {"dataset": "sample", "task": "denoise", "folder": "data", "layout": "clean", "sigma": 50, "space": "irnas"}
PARAMS |= {"seed": 3, "profile": "demo"}
STEPS = 150
BOUND = 5.0  # seconds that a stage may lose: ten times what it waits, for busy machines
PATIENCE = 1.0  # seconds after which a sender of these tests takes a request for lost

WAYS: dict[str, Way | str] = {
    "nothing listens": DOWN,
    "takes connections, answers nothing": lambda request: HANG,
    "hangs after 6 requests": lambda request: PASS if request.number <= 6 else HANG,
    "answers a byte every half second": lambda request: DRIP,
    "answers 500": lambda request: 500,
    "its disk is full: 507 after 8 requests": lambda request: PASS if request.number <= 8 else 507,
    "is another service: a page with 200": lambda request: PAGE,
    "dies after 6 requests": lambda request: PASS if request.number <= 6 else CUT,
    "stores each request, its first answer is lost": lambda request: LOSE if request.is_new else PASS,
    "stores each request, its first answer breaks off": lambda request: HALF if request.is_new else PASS,
    "stores each request, a gateway answers 502 first": lambda request: GATEWAY if request.is_new else PASS,
    "makes each run a second time, too late": (
        lambda request: LATE if request.path.endswith("runs/create") and request.is_new else PASS
    ),
}
SLOW = (
    "answers a byte every half second",
    "hangs after 6 requests",
    "is another service: a page with 200",
    "stores each request, its first answer breaks off",
    "stores each request, a gateway answers 502 first",
)
"""Left to `make test-slow`."""


class Forked:
    """A follower, without the seconds in which a new process loads MLflow."""

    def __init__(self, journal: Path) -> None:
        self.process = FORK.Process(target=_follow, args=(journal,), daemon=True)
        self.process.start()

    def wait(self, timeout: float) -> int:
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise subprocess.TimeoutExpired("follow", timeout)
        return self.process.exitcode

    def kill(self) -> None:
        self.process.kill()
        self.process.join()


def _follow(journal: Path) -> None:
    with (journal.parent / "sync.log").open("a", buffering=1) as sys.stderr:
        os._exit(not tracking.follow(journal))


@pytest.fixture
def server() -> Iterator[FailingServer]:
    """A server that answers, until it is told to fail."""
    failing = FailingServer(LittleMlflow(), patience=PATIENCE + 0.3)
    yield failing
    failing.close()


@pytest.fixture
def followers(server, tmp_path, monkeypatch) -> Iterator[list[Forked]]:
    """Those that the stages of a test start; they and `sync` send to its server, and give up soon."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", f"{PATIENCE:.0f}")
    monkeypatch.setenv("NASIR_TRACKING", str(tmp_path / "tracking"))
    monkeypatch.setenv("NASIR_PIPELINE", PIPELINE)
    for name in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "NASIR_SEND", "NASIR_OWNER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tracking, "SEND_SECONDS", 0.1)
    started: list[Forked] = []

    def start(journal: Path) -> Forked:
        started.append(Forked(journal))
        return started[-1]

    monkeypatch.setattr(tracking, "start_follower", start)
    with quiet_mlflow():
        yield started
    for follower in started:
        follower.kill()


@pytest.fixture(scope="module")
def table() -> Iterator[list[tuple[object, ...]]]:
    """How each way ended, shown by `-s`."""
    rows: list[tuple[object, ...]] = []
    yield rows
    print("\n| the server | events | lost | twice | the stage was done after, s | `sync` gave up after, s |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print("|", " | ".join(f"{part:.2f}" if isinstance(part, float) else str(part) for part in row), "|")


def run_stage(place: Path, server: FailingServer, until_failed: bool, has_files: bool = True) -> float:
    """A stage with news, files and a picture; gives its seconds but those in which it waits for the server to fail."""
    settings, out, waited = Settings(resolve(PARAMS, ROOT / "profiles"), "settings.yaml"), place / "out", 0.0
    facts, start = {"steps": STEPS}, time.monotonic()
    made = [out / "model.json", out / "figures"] * has_files
    pictures = out / "pictures" if has_files else None
    with around("search", settings.params, facts, PARAMS, place / "cost.json", made, pictures) as log:
        total = 0.0
        for step in range(STEPS):
            log(step, {"train_loss": 1 / (step + 1), "psnr_db": 20 + step / 4})
            total += 1 / (step + 1)
            if step == STEPS // 2 and until_failed:
                waited = wait_for_failure(server, place / "tracking/sync.log")
        write_json(out / "model.json", {"total": total})
        for number in range(2):
            write_json(out / f"figures/{number}.json", number)
        (out / "pictures").mkdir(exist_ok=True)
        Image.new("L", (16, 8), 90).save(out / "pictures/brick.png")
    return time.monotonic() - start - waited


def wait_for_failure(server: FailingServer, log: Path) -> float:
    """Wait until a sender has met the failure; gives the seconds."""
    start = time.monotonic()
    while not server.failed.is_set() and not (log.exists() and "not sent" in log.read_text()):
        assert time.monotonic() - start < 30, "no sender has met the failing server"
        time.sleep(0.01)
    return time.monotonic() - start


def files_of(server: FailingServer) -> list[str]:
    """The names of all files on a little server, from the folder of artifacts on."""
    return sorted(re.sub(r".*/artifacts/|\+step.*(?=\.)", "", name) for name in server.behind.files)


FILES = ["figures/0.json", "figures/1.json", "images/brick.png", "images/brick.png"]
FILES += ["images/brick.webp", "images/brick.webp", "model.json"]  # pictures: in the runs of stage and pipeline


def send_all(journals: Path) -> list[Path]:
    """Sync until nothing waits."""
    sent: list[Path] = []
    for _ in range(5):
        delivery = tracking.sync(journals)
        sent += delivery.sent
        if not delivery.waiting:
            break
    assert not delivery.waiting
    return sent


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in ("answers", *WAYS)]
)
def test_a_stage_is_none_the_worse_for_its_server_and_every_event_arrives_once(
    name, server, followers, table, tmp_path
):
    journals = tmp_path / "tracking"
    if name in WAYS:
        server.fail(WAYS[name])

    seconds = run_stage(tmp_path, server, until_failed=name in WAYS)

    assert seconds < BOUND
    assert read_json(tmp_path / "out/model.json") == {"total": sum(1 / (step + 1) for step in range(STEPS))}
    followers[0].kill()
    start = time.monotonic()
    tracking.sync(journals)  # says what waits
    gave_up = time.monotonic() - start
    server.come_back()
    send_all(journals)
    assert tracking.sync(journals) == tracking.Delivery(sent=(), waiting=())
    table.append((name, *compare(tmp_path / "tracking", server.uri), seconds, gave_up))
    assert files_of(server) == FILES
    assert [path.name for path in journals.iterdir() if path.is_dir()] == []  # the copies are gone


def test_a_server_that_comes_back_while_the_stage_runs_gets_all_without_a_sync(server, followers, table, tmp_path):
    server.fail(lambda request: 500 if request.number <= 4 else PASS)
    seconds = run_stage(tmp_path, server, until_failed=True)
    assert seconds < BOUND
    assert followers[0].wait(30) == 0
    assert tracking.sync(tmp_path / "tracking") == tracking.Delivery(sent=(), waiting=())
    table.append(("comes back while the stage runs", *compare(tmp_path / "tracking", server.uri), seconds, "-"))
    assert files_of(server) == FILES


@pytest.mark.parametrize(
    ("ends", "is_whole"),
    [(LOSE, False), pytest.param(LOSE, True, marks=pytest.mark.slow), pytest.param(CUT, True, marks=pytest.mark.slow)],
)
def test_a_server_that_dies_at_any_request_gets_all_of_it_once(
    ends, is_whole, server, followers, table, tmp_path, monkeypatch
):
    monkeypatch.setattr(tracking, "start_follower", lambda journal: None)
    run_stage(tmp_path, server, until_failed=False, has_files=is_whole)
    requests = 0
    while requests == 0 or tracking.sync(tmp_path / "tracking").waiting:
        requests += 1
        server.fail(
            lambda request, last=requests: PASS if request.number < last else ends if request.number == last else CUT
        )
    assert requests > 10
    server.come_back()
    name = f"dies at its 1st, 2nd, ... {requests}th request, {'behind' if ends == LOSE else 'before'} storing it"
    table.append((name, *compare(tmp_path / "tracking", server.uri), "-", "-"))
    assert files_of(server) == FILES * is_whole


@pytest.mark.parametrize("asker", ["waits", "is killed"])
def test_a_run_that_is_made_when_all_is_sent_goes_again(asker, server, followers, table, tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "start_follower", lambda journal: None)
    run_stage(tmp_path, server, until_failed=False, has_files=False)
    server.patience = PATIENCE * 2.5  # long after the second try was answered and all was sent
    server.fail(WAYS["makes each run a second time, too late"])
    if asker == "is killed":
        follower = Forked(next((tmp_path / "tracking").glob("*.jsonl")))
        assert server.failed.wait(30)
        follower.kill()
    assert len(tracking.sync(tmp_path / "tracking").sent) == 1
    assert server.late == 0
    table.append(
        (
            f"makes each run a second time, too late; who asked {asker}",
            *compare(tmp_path / "tracking", server.uri),
            "-",
            "-",
        )
    )


def test_a_server_that_dies_half_way_is_not_waited_for_again_with_each_journal(
    server, followers, tmp_path, monkeypatch
):
    monkeypatch.setattr(tracking, "start_follower", lambda journal: None)
    for _ in range(6):
        run_stage(tmp_path, server, until_failed=False, has_files=False)
    server.fail(lambda request: PASS if request.number <= 30 else CUT)
    delivery = tracking.sync(tmp_path / "tracking")
    assert 0 < len(delivery.sent) < 5 and len(delivery.sent) + len(delivery.waiting) == 6
    assert server.count == 30 + 2 + 2  # one that failed, and a look whether others would, each tried twice
    server.come_back()
    assert len(send_all(tmp_path / "tracking")) == len(delivery.waiting)
    compare(tmp_path / "tracking", server.uri)


WRITER = """
import sys, time
from pathlib import Path
from stages.around.journal import Journal, find_pipeline, new_path

number, folder = int(sys.argv[1]), Path(sys.argv[2])
record = Journal(new_path(folder, "search"))
record.start("search", {"writer": number}, find_pipeline({"sigma": 50}))
(folder / f"{number}.ready").touch()
while len(list(folder.glob("*.ready"))) < 2:
    time.sleep(0.001)
for step in range(400):
    record.metrics(step, {"train_loss": 1000 * number + step})
    if step % 20 == 0:
        record.tags({f"nasir.device.{step}": f"of writer {number}"})
        time.sleep(0.02)
record.finish("FINISHED")
"""


def test_two_processes_write_and_two_send_and_nothing_is_lost_or_mixed(server, followers, table, tmp_path):
    journals = tmp_path / "tracking"
    journals.mkdir()
    command = [sys.executable, "-c", WRITER]
    writers = [subprocess.Popen([*command, str(number), str(journals)], cwd=ROOT) for number in (1, 2)]
    while len(list(journals.glob("*.jsonl"))) < 2:
        time.sleep(0.01)
    senders = [FORK.Process(target=_sync, args=(journals, tmp_path / f"sent-{number}")) for number in (1, 2)]
    for sender in senders:
        sender.start()
    assert [writer.wait(60) for writer in writers] == [0, 0]
    for sender in senders:
        sender.join(60)

    assert [sender.exitcode for sender in senders] == [0, 0]
    sent = [name for number in (1, 2) for name in (tmp_path / f"sent-{number}").read_text().split()]
    assert sorted(sent) == sorted(path.name for path in journals.glob("*.jsonl"))  # each by one of them
    table.append(("answers; two write, two send", *compare(journals, server.uri), "-", "-"))


def _sync(journals: Path, note: Path) -> None:
    """Sync until nothing waits, and note what was sent."""
    with note.open("w") as file, (journals / "sync.log").open("a") as sys.stderr:
        waiting = True
        while waiting:
            delivery = tracking.sync(journals)
            file.writelines(f"{path.name}\n" for path in delivery.sent)
            waiting = bool(delivery.waiting)


@pytest.fixture(scope="module")
def real_server(tmp_path_factory) -> Iterator[int]:
    """The port of a server of MLflow's own, on SQLite."""
    place = tmp_path_factory.mktemp("server")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{place}/mlflow.db", "--artifacts-destination", f"{place}/artifacts"]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (place / "log").open("w") as log:
        process = subprocess.Popen(command, env=os.environ | quiet, stdout=log, stderr=log, start_new_session=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            break
        time.sleep(0.2)
    yield port
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(30)


@pytest.mark.slow
def test_a_stage_and_the_server_of_mlflow_behind_each_way_of_failing(real_server, little, table, tmp_path, monkeypatch):
    settings = Settings(resolve(PARAMS, ROOT / "profiles"), "settings.yaml")
    write_text(little / "settings.yaml", yaml.safe_dump(settings.values))
    for name, value in (("NASIR_SEND", "later"), ("NASIR_TRACKING", str(tmp_path / "alone"))):
        monkeypatch.setenv(name, value)
    alone, result = split(little)
    monkeypatch.delenv("NASIR_SEND")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_TIMEOUT", raising=False)
    for number, (name, way) in enumerate(WAYS.items()):
        server, journals = FailingServer(forward(real_server), patience=4), tmp_path / f"tracking-{number}"
        for key, value in (("MLFLOW_TRACKING_URI", server.uri), ("NASIR_TRACKING", str(journals))):
            monkeypatch.setenv(key, value)
        monkeypatch.setenv("NASIR_PIPELINE", PIPELINE)
        server.fail(way)
        seconds, again = split(little)
        assert (again, seconds - alone < BOUND) == (result, True)
        wait_for_failure(server, journals / "sync.log")
        server.come_back()
        send_by_hand()
        table.append((f"MLflow's own; {name}", *compare(journals, server.uri), seconds - alone, "-"))
        server.close()


def split(place: Path) -> tuple[float, bytes]:
    """Run a stage as DVC does; gives its seconds and its result."""
    command = [sys.executable, "-m", "stages", "split", "--settings", str(place / "settings.yaml")]
    command += ["--pictures", str(place / "pictures"), "--out", str(place / "of-stage")]
    start = time.monotonic()
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return time.monotonic() - start, (place / "of-stage/split.json").read_bytes()


def send_by_hand() -> None:
    """`python -m stages sync` until nothing waits, for a follower, too, may be sending."""
    command = [sys.executable, "-m", "stages", "sync"]
    deadline = time.monotonic() + 120
    while subprocess.run(command, cwd=ROOT, check=False, capture_output=True).returncode:
        assert time.monotonic() < deadline
        time.sleep(1)
