"""A pipeline that was killed often ends with the bytes of one that was left alone."""

import json
import os

import checkout
import crashes
import pytest
from checkout import TINY

KILLS = int(os.environ.get("NASIR_KILLS", "25"))
SEED = int(os.environ.get("NASIR_KILLS_SEED", "0"))
PROFILE = TINY | {
    "search": TINY["search"] | {"strategy": "one_shot", "steps": 20, "checkpoint_period": 1},
    "strategy": {
        "one_shot": {"candidates": 6, "population": 2, "tournament": 2, "window": [0, 1.0e9], "finalists": 2}
        | {"final_steps": 3}
    },
    "retrain": TINY["retrain"] | {"steps": 20, "checkpoint_period": 1},
}


@pytest.mark.slow
def test_a_pipeline_killed_again_and_again_ends_with_the_same_bytes(tmp_path):
    """NASIR_KILLS kills (25), at moments that NASIR_KILLS_SEED chooses."""
    environment = checkout.make(tmp_path / "alone", PROFILE)
    expected, seconds = crashes.run_alone(tmp_path / "alone", environment)
    assert {name.split("/")[1] for name in expected} == set(crashes.KEPT)

    environment = checkout.make(tmp_path / "killed", PROFILE)
    report = crashes.torture(tmp_path / "killed", environment, expected, KILLS, seconds, SEED)

    print(json.dumps(vars(report)))
    assert report.kills == KILLS and report.different == []
