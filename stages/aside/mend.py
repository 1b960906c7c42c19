"""What a kill left half written of the two files that DVC writes in place: dvc.lock and its table of locks.

DVC reads neither then, and says so without a cure. Nothing is lost with them: what dvc.lock held stands in DVC's run cache, and
the table is of processes that are gone.
"""

import fcntl
import json
from pathlib import Path

LOCK = "dvc.lock"
TABLE = ".dvc/tmp/rwlock"
GUARDS = {LOCK: ".dvc/tmp/lock", TABLE: ".dvc/tmp/rwlock.lock"}
"""The file that a DVC at work holds while it writes another."""


def remove(project: Path) -> list[str]:
    """Remove what is torn in the folder of a DVC project; a DVC that writes it at this moment keeps it.

    Returns:
        A line for each file that was removed.
    """
    return [
        f"{project / name}: a kill had left it half written; removed, DVC writes it anew from what it has kept."
        for name, guard in GUARDS.items()
        if _is_torn(project, name) and _remove(project, name, guard)
    ]


def _is_torn(project: Path, name: str) -> bool:
    try:
        text = (project / name).read_bytes()
        if name == TABLE:
            json.loads(text)
    except FileNotFoundError:
        return False
    except ValueError:
        return True
    return name == LOCK and (
        not text.endswith(b"\n") or text.endswith(b":\n")
    )  # YAML that ends between a key and its value


def _remove(project: Path, name: str, guard: str) -> bool:
    (project / guard).parent.mkdir(parents=True, exist_ok=True)
    with (project / guard).open("ab") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if is_torn := _is_torn(project, name):  # and was not written by now
            (project / name).unlink()
        return is_torn
