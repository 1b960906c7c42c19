"""Names of runs: what differs comes first, for a table of MLflow shows some twenty letters."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def of_pipeline(params: Mapping[str, Any], started: int) -> str:
    """Such as `sigma=50 seed=0 irnas demo sample 2026-11-20 12:30`, in local time.

    Args:
        params: of params.yaml; what is missing is left out.
        started: ms since 1970, UTC.
    """
    return " ".join([*_words(params), datetime.fromtimestamp(started / 1000).strftime("%Y-%m-%d %H:%M")])


def of_stage(stage: str, params: Mapping[str, Any]) -> str:
    """Such as `evaluate sigma=50 seed=0 irnas demo sample`: two runs of one stage differ in their names as their settings do."""
    return " ".join([stage, *_words(params)])


def _words(params: Mapping[str, Any]) -> list[str]:
    is_denoising = params.get("task", "denoise") == "denoise"
    words = [f"sigma={float(params['sigma']):g}" if is_denoising else str(params["task"])] if "sigma" in params else []
    words += [f"seed={params['seed']}"] if "seed" in params else []
    return words + [str(params[key]) for key in ("space", "profile", "dataset") if key in params]
