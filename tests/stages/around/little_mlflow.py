"""A tracking server in memory: as much of MLflow's REST interface as the sender calls, answered as MLflow answers it."""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

API = "/api/2.0/mlflow/"
ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts"
Answer = tuple[int, bytes]


class LittleMlflow:
    """Experiments, runs and artifacts; a call takes one request."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}  # name to identity
        self.runs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.calls: dict[str, Callable[[dict[str, Any]], object]] = {
            "experiments/get-by-name": self._experiment,
            "experiments/get": lambda asked: {"experiment": {"experiment_id": asked["experiment_id"], "name": "nasir"}},
            "experiments/create": self._create_experiment,
            "runs/create": self._create_run,
            "runs/search": self._search,
            "runs/get": lambda asked: {"run": _shown(self.runs[asked["run_id"]])},
            "runs/update": self._update,
            "runs/delete": lambda asked: self.runs[asked["run_id"]]["info"].update(lifecycle_stage="deleted"),
            "runs/log-batch": self._log,
            "runs/log-metric": lambda asked: self._log({"run_id": asked["run_id"], "metrics": [asked]}),
            "runs/set-tag": lambda asked: self._log({"run_id": asked["run_id"], "tags": [asked]}),
            "metrics/get-history": self._history,
        }

    def __call__(self, method: str, address: str, body: bytes) -> Answer:
        path, query = urlsplit(address).path, parse_qs(urlsplit(address).query)
        if path.startswith(ARTIFACTS):
            return self._artifact(method, path.removeprefix(ARTIFACTS).strip("/"), query, body)
        asked = json.loads(body) if body else {key: values[0] for key, values in query.items()}
        try:
            return 200, json.dumps(self.calls[path.removeprefix(API)](asked) or {}).encode()
        except KeyError as error:
            return 404, json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": f"no {error}"}).encode()

    def _artifact(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> Answer:
        if method == "PUT":
            self.files[path] = body
            return 200, b"{}"
        folder = query["path"][0].strip("/") + "/"
        below = sorted({name.removeprefix(folder).partition("/")[:2] for name in self.files if name.startswith(folder)})
        files = [{"path": name, "is_dir": bool(slash), "file_size": 1} for name, slash in below]
        return 200, json.dumps({"files": files}).encode()

    def _experiment(self, asked: dict[str, Any]) -> object:
        identity, name = self.experiments[asked["experiment_name"]], asked["experiment_name"]
        return {"experiment": {"experiment_id": identity, "name": name, "lifecycle_stage": "active"}}

    def _create_experiment(self, asked: dict[str, Any]) -> object:
        return {"experiment_id": self.experiments.setdefault(asked["name"], str(len(self.experiments) + 1))}

    def _create_run(self, asked: dict[str, Any]) -> object:
        identity, experiment = uuid.uuid4().hex, asked["experiment_id"]
        info = {"run_id": identity, "run_uuid": identity, "experiment_id": experiment, "status": "RUNNING"}
        info |= {"run_name": asked["run_name"], "start_time": asked["start_time"], "lifecycle_stage": "active"}
        info |= {"artifact_uri": f"mlflow-artifacts:/{experiment}/{identity}/artifacts"}
        tags = {tag["key"]: tag["value"] for tag in asked["tags"]}
        self.runs[identity] = {"info": info, "params": {}, "tags": tags, "metrics": {}}
        return {"run": _shown(self.runs[identity])}

    def _search(self, asked: dict[str, Any]) -> object:
        """Runs with one tag, the last made first, as none is asked for in another order."""
        wanted = re.fullmatch(r"tags\.`(.+)` = '(.*)'", asked.get("filter", ""))
        found = [run for run in reversed(self.runs.values()) if run["info"]["lifecycle_stage"] == "active"]
        if wanted is not None:
            found = [run for run in found if run["tags"].get(wanted[1]) == wanted[2]]
        return {"runs": [_shown(run) for run in found[: int(asked["max_results"])]]}

    def _update(self, asked: dict[str, Any]) -> object:
        info = self.runs[asked["run_id"]]["info"]
        info.update({key: asked[key] for key in ("status", "end_time", "run_name") if key in asked})
        return {"run_info": info}

    def _log(self, asked: dict[str, Any]) -> None:
        """Params and tags by their keys; a metric with the same key, time, step and value is one row, as in MLflow."""
        run = self.runs[asked["run_id"]]
        for kind in ("params", "tags"):
            run[kind].update({one["key"]: one["value"] for one in asked.get(kind, [])})
        for one in asked.get("metrics", []):
            row = {"key": one["key"], "value": one["value"], "timestamp": one["timestamp"], "step": one.get("step", 0)}
            run["metrics"][tuple(row.values())] = row

    def _history(self, asked: dict[str, Any]) -> object:
        rows = self.runs[asked["run_id"]]["metrics"].values()
        return {"metrics": [row for row in rows if row["key"] == asked["metric_key"]]}


def _shown(run: dict[str, Any]) -> dict[str, Any]:
    """A run as MLflow gives it: of each metric the last value."""
    last: dict[str, dict[str, Any]] = {}
    for row in sorted(run["metrics"].values(), key=lambda row: (row["step"], row["timestamp"], row["value"])):
        last[row["key"]] = row
    data = {kind: [{"key": key, "value": value} for key, value in run[kind].items()] for kind in ("params", "tags")}
    return {"info": run["info"], "data": data | {"metrics": list(last.values())}}
