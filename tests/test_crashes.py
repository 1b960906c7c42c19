"""A pipeline that was killed often ends with the bytes of one that was left alone."""

import json
import os

import checkout
import crashes
import pytest
from checkout import TINY

KILLS = int(os.environ.get("NASIR_KILLS", "25"))
SEED = int(os.environ.get("NASIR_KILLS_SEED", "0"))
PARTS = max(2, KILLS // 25)
"""Pipelines that are killed apart, so that two cores have half each."""
PROFILE = TINY | {
    "search": TINY["search"] | {"strategy": "one_shot", "steps": 20, "checkpoint_period": 1},
    "strategy": {
        "one_shot": {"candidates": 6, "population": 2, "tournament": 2, "window": [0, 1.0e9], "finalists": 2}
        | {"final_steps": 3}
    },
    "retrain": TINY["retrain"] | {"steps": 20, "checkpoint_period": 1},
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> tuple[dict[str, str], float]:
    """The digests and seconds of a run that is left alone."""
    place = tmp_path_factory.mktemp("run") / "alone"
    return crashes.run_alone(place, checkout.make(place, PROFILE))


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_pipeline_killed_again_and_again_ends_with_the_same_bytes(tmp_path, alone, part):
    """NASIR_KILLS kills (25) in all, at moments that NASIR_KILLS_SEED chooses."""
    expected, seconds = alone
    assert {name.split("/")[1] for name in expected} == set(crashes.KEPT)

    kills = KILLS // PARTS + (part < KILLS % PARTS)
    environment = checkout.make(tmp_path / "killed", PROFILE)
    report = crashes.torture(tmp_path / "killed", environment, expected, kills, seconds, PARTS * SEED + part)

    print(json.dumps(vars(report)))
    assert report.kills == kills and report.different == []
