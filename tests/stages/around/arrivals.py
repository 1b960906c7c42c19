"""What journals hold beside what a tracking server has of them, each event counted."""

import re
from collections import Counter
from pathlib import Path

from stages.around.journal import read_events

PIPELINE = "pipeline-of-the-test"
"""The key of the pipeline that all these journals belong to; NASIR_PIPELINE gives it to stages."""


def written(journals: Path) -> Counter[tuple[object, ...]]:
    """What is to arrive, of each journal in a folder and of the pipeline that they belong to."""
    due: Counter[tuple[object, ...]] = Counter()
    for path in journals.glob("*.jsonl"):
        events, end = read_events(path, 0, 1_000_000)
        assert end == path.stat().st_size  # whole lines, to the end
        start, name = events[0], events[0]["journal"]
        due |= {("pipeline",): 1} | {("pipeline", "param", *pair): 1 for pair in start["pipeline"]["params"].items()}
        due += Counter([(name, "run"), (name, "status", events[-1]["status"])])
        due += Counter((name, "param", key, str(value)) for key, value in start["params"].items())
        for event in events:
            values = event.get("values", {}).items()
            if event["event"] == "metrics":
                due += Counter((name, key, event["step"], float(value)) for key, value in values)
            if event["event"] == "tags":
                due += Counter((name, "tag", *pair) for pair in values)
    return due


def arrived(journals: Path, uri: str) -> Counter[tuple[object, ...]]:
    """What a server has of these journals; its files are for the tests to look at."""
    import mlflow

    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("nasir").experiment_id
    there: Counter[tuple[object, ...]] = Counter()
    names = [read_events(path, 0, 1)[0][0]["journal"] for path in journals.glob("*.jsonl")]
    for parent in client.search_runs([experiment], f"tags.`nasir.pipeline` = '{PIPELINE}'"):
        there += Counter([("pipeline",), *(("pipeline", "param", *pair) for pair in parent.data.params.items())])
    for name in names:
        for run in client.search_runs([experiment], f"tags.`nasir.journal` = '{name}'"):
            there += Counter([(name, "run"), (name, "status", run.info.status)])
            there += Counter((name, "param", *pair) for pair in run.data.params.items())
            own = {key: value for key, value in run.data.tags.items() if re.match("mlflow.source|nasir.device", key)}
            there += Counter((name, "tag", *pair) for pair in own.items())
            for key in run.data.metrics:
                rows = client.get_metric_history(run.info.run_id, key)
                there += Counter((name, key, row.step, row.value) for row in rows)
    return there


def compare(journals: Path, uri: str) -> tuple[int, int, int]:
    """Events written, lost and there twice."""
    due, there = written(journals), arrived(journals, uri)
    lost, twice = due - there, there - due
    assert (lost, twice) == (Counter(), Counter()), (lost, twice)
    return due.total(), lost.total(), twice.total()
