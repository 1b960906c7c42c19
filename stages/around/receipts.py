"""The receipt of a stage: what it cost and what it was made with."""

import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from nasir import memory
from nasir.config.params import Params
from nasir.files import write_json

PACKAGES = ("torch", "numpy", "pillow", "scikit-image", "scipy", "dvc", "mlflow", "great-expectations")


class Receipt:
    """Started with a stage, written when it is done."""

    def __init__(
        self,
        stage: str,
        params: Params,
        settings: Mapping[str, object],
        checkpoint: Path | None,
        precision: str | None = None,
    ) -> None:
        self.stage, self.params, self.settings, self.precision = stage, params, settings, precision
        self.is_resumed = checkpoint is not None and checkpoint.exists()
        self.rewound: list[dict[str, int]] = []  # steps of a training that failed, and those that it went back to
        self.started = datetime.now(UTC)
        self.clock = time.perf_counter()

    def spent(self) -> dict[str, float]:
        """Seconds so far, and peak memory of this process in MiB."""
        return {
            "seconds": round(time.perf_counter() - self.clock, 3),
            "peak_memory_mib": round(memory.peak_mib(), 1),
        }

    def write(self, path: Path) -> None:
        """Write seconds, peak memory, device, processor, versions, commit, seed and what the stage takes of the settings."""
        write_json(
            path,
            {
                "stage": self.stage,
                "started": self.started.isoformat(timespec="seconds"),
                "is_resumed": self.is_resumed,  # then seconds count from the checkpoint
                "rewound": self.rewound,
                **self.spent(),
                "device": device(),
                "processor": processor(),
                "precision": self.precision,  # of a training; else None
                "versions": {"python": platform.python_version()} | versions(),
                "commit": commit(),
                "seed": self.params.seed,
                "profile": self.params.profile,
                "settings": dict(self.settings),
            },
        )


def device() -> str:
    """The computing device; torch is asked only if the stage has used it."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        peak = torch.cuda.max_memory_allocated() / 2**20
        return f"{torch.cuda.get_device_name()} ({peak:.0f} MiB at most)"
    threads = f", {torch.get_num_threads()} threads" if torch is not None else ""
    return f"CPU {platform.machine()}{threads}"


def processor() -> str:
    """The processor's model name, where the system says it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of the packages that results depend on, of those that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """The commit that is checked out, marked where tracked code differs from it; "unknown" outside of a repository."""
    try:
        head = _git("rev-parse", "HEAD")
        dirty = _git(
            "status", "--porcelain", "--untracked-files=no", "--", "nasir", "stages", "profiles", "dvc.yaml", "tables"
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+changes" if dirty else "")


def _git(*arguments: str) -> str:
    run = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return run.stdout.strip()
