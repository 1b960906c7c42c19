"""A tracking server, or a database in its place: the only module that imports MLflow, and never in the process of a stage.

Nothing is made or sent twice: runs are found again by their tags, and a metric with the same key, time, step and value is
one row in MLflow. A run whose making was not answered may be made twice: the one that nothing was sent to is deleted.
"""

import os
import re
import shutil
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasir.deadline import within
from stages.around.sending.cursor import locked

EXPERIMENT = "nasir"
KIND = {"mlflow.experimentKind": "custom_model_development"}  # opens its runs, and not the pages on prompts and traces
PATIENCE = 10  # for a call, times MLflow's limit for a read, which a server that answers byte by byte never passes
LATE = 3  # times that limit, behind which a server makes no run any more whose asker has gone
BYTES = 100_000  # of an artifact in a second, at least


@dataclass(frozen=True, kw_only=True)
class Server:
    """A tracking server that answered, and our experiment there."""

    uri: str
    client: Any  # mlflow.MlflowClient
    experiment_id: str
    folder: Path  # of the journals and locks

    @classmethod
    def connect(cls, uri: str, folder: Path) -> "Server":
        """Reach the server and find the experiment, or create it.

        With a sqlite database the artifacts are addressed as `mlflow-artifacts:/`, which MLflow's own server resolves
        to a folder beside the database: absolute paths would break when the checkout is moved.
        """
        with quiet_mlflow() as mlflow, locked(folder / "server.lock", wait=True):
            client = mlflow.MlflowClient(tracking_uri=uri)
            if uri.startswith("http"):
                client = Bounded(client)
            experiment = client.get_experiment_by_name(EXPERIMENT)
            if experiment is None:
                location = f"mlflow-artifacts:/{EXPERIMENT}" if artifact_folder(uri) is not None else None
                try:
                    identity = client.create_experiment(EXPERIMENT, artifact_location=location, tags=KIND)
                except mlflow.exceptions.MlflowException:
                    experiment = client.get_experiment_by_name(EXPERIMENT)  # somebody was faster
                    if experiment is None:
                        raise
                    identity = experiment.experiment_id
            else:
                identity = experiment.experiment_id
        return cls(uri=uri, client=client, experiment_id=identity, folder=folder)

    def fault(self) -> str:
        """Why it answers no more, or "": a journal may wait for reasons of its own."""
        try:
            self.client.get_experiment(self.experiment_id)
        except server_errors() as error:
            return first_line(error)
        return ""

    def settle(self, asked: float) -> None:
        """Wait until a run that was asked for at that time is made or never will be; 0: none was."""
        if self.uri.startswith("http"):
            time.sleep(min(max(0.0, asked + LATE * limit() - time.time()), LATE * limit()))

    def find_or_create(self, tag: str, value: str, name: str, started: int, tags: Mapping[str, str]) -> Any:
        """The one run with this tag."""
        found = self.find(tag, value)
        if found is not None:
            return found
        return self.client.create_run(self.experiment_id, start_time=started, run_name=name, tags={**tags, tag: value})

    def find(self, tag: str, value: str) -> Any | None:
        """The one run with this tag, or None.

        A run is made again where the answer was lost or came too late: of several the one that something was sent to stays, and
        those without params and metrics are deleted.
        """
        found = self.client.search_runs([self.experiment_id], filter_string=f"tags.`{tag}` = '{value}'")
        found = sorted(found, key=lambda run: (not _has_data(run), run.info.run_id))
        for twin in found[1:]:
            if not _has_data(twin):
                self.client.delete_run(twin.info.run_id)
        return found[0] if found else None

    def set_params(self, run: Any, params: Mapping[str, Any]) -> None:
        """Log those parameters that the run does not have yet."""
        from mlflow.entities import Param

        new = [Param(_name(key), str(value)[:6000]) for key, value in params.items()]
        new = [param for param in new if param.key not in run.data.params]
        for first in range(0, len(new), 100):
            self.client.log_batch(run.info.run_id, params=new[first : first + 100])

    def log(self, run_id: str, rows: Iterable[tuple[str, float, int, int]]) -> None:
        """Log metrics: of each its name, value, time in milliseconds since 1970, and step."""
        from mlflow.entities import Metric

        metrics = [Metric(_name(key), value, when, step) for key, value, when, step in rows]
        if metrics:
            self.client.log_batch(run_id, metrics=metrics)

    def set_metrics(self, run_id: str, metrics: Mapping[str, float]) -> None:
        """Log those metrics that the run does not have with this value."""
        known = self.client.get_run(run_id).data.metrics
        for key, value in metrics.items():
            if known.get(key) != value:
                self.client.log_metric(run_id, key, value)

    def put(self, run_id: str, path: Path, folder: str) -> None:
        """Store a file or folder with a run."""
        address = self.client.get_run(run_id).info.artifact_uri
        store = artifact_folder(self.uri)
        if store is not None and address.startswith("mlflow-artifacts:/"):
            target = store / address.removeprefix("mlflow-artifacts:/").strip("/") / folder / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, target, dirs_exist_ok=True)
            else:
                shutil.copyfile(path, target)
        elif path.is_dir():
            self.client.log_artifacts(run_id, str(path), f"{folder}/{path.name}".lstrip("/"))
        else:
            self.client.log_artifact(run_id, str(path), folder or None)


class Bounded:
    """A server's client, each call of which ends, however slowly it is answered; an artifact has time by its size."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def bounded(*given: Any, **named: Any) -> Any:
            count, size = _contents(Path(given[1])) if name in ("log_artifact", "log_artifacts") else (1, 0)
            with within(count * PATIENCE * limit() + size / BYTES):
                return call(*given, **named)

        return bounded


def _contents(path: Path) -> tuple[int, int]:
    """Files of a folder, or one, and their bytes."""
    files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    return max(1, len(files)), sum(one.stat().st_size for one in files)


def limit() -> float:
    """Seconds that MLflow waits for an answer."""
    return float(os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"])


def artifact_folder(uri: str) -> Path | None:
    """Where artifacts lie when the tracking URI is a sqlite file: in `mlartifacts` beside it."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]).resolve().parent / "mlartifacts"


def first_line(error: BaseException) -> str:
    """What an error says, in a line."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"


def _has_data(run: Any) -> bool:
    return bool(run.data.params or run.data.metrics)


def _name(key: str) -> str:
    """A name as MLflow takes it: letters, digits, and `_ - . : /` and space."""
    return re.sub(r"[^\w\-. :/]", "_", key)[:250]


@contextmanager
def quiet_mlflow() -> Iterator[Any]:
    """MLflow with short timeouts, without telemetry and without other people's deprecation warnings."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "3")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("DO_NOT_TRACK", "true")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import logging

        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        logging.getLogger("alembic").setLevel(logging.WARNING)
        yield mlflow


def server_errors() -> tuple[type[Exception], ...]:
    """What sending may raise because of the server, the network, the database or the disk."""
    with quiet_mlflow() as mlflow:
        import requests
        import sqlalchemy.exc

        of_database = sqlalchemy.exc.SQLAlchemyError
        return (mlflow.exceptions.MlflowException, requests.RequestException, of_database, OSError)
