"""advisories: known vulnerabilities of the packages that constraints.txt pins, as pip-audit finds them.

It asks a service of advisories on the network; where that cannot be reached, or pip-audit is not installed, nothing is known and
nothing is wrong, which is what is said.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nasir.commands.terminal import shown as printable
from nasir.messages import cut, shown

ASK = (
    *(sys.executable, "-m", "pip_audit", "--vulnerability-service", "osv"),
    *("--format", "json", "--progress-spinner", "off", "--timeout", "10"),
    *("--no-deps", "--disable-pip", "--requirement"),  # the pins as they stand, which say all there is
)
"""What is called with the file of pins behind it; PIP_AUDIT_OSV_URL names another place of the service."""

LONGEST_S = 300
"""Seconds for all answers of the service, one for each package."""

MOST_SAID = 300
"""Characters of a reason."""

PIN = re.compile(r"[A-Za-z0-9][\w.-]*==[\w.!+-]+|#.*|")
"""A line of the file of pins."""


def run(pins: Path, command: Sequence[str] = ASK, seconds: float = LONGEST_S) -> tuple[list[str], int]:
    """Look for advisories.

    Args:
        pins: NAME==VERSION, one a line.
        command: called with `pins` behind it; prints JSON as pip-audit does.
        seconds: after which it is given up.

    Returns:
        The lines to show, and how many vulnerabilities are known; 0, too, where none could be looked for, as the one line says.

    Raises:
        ValueError: if the file of pins is missing or has another line, in which case pip-audit looks for nothing.
    """
    if not pins.is_file():
        raise ValueError(f"expected a file of pins at {pins}, got none; check --pins.")
    for number, line in enumerate(pins.read_text(errors="replace").splitlines(), start=1):
        if not PIN.fullmatch(line.strip()):
            raise ValueError(
                f"line {number} of {pins} must be NAME==VERSION, got {shown(line, MOST_SAID)}; pin one version."
            )
    try:
        done = subprocess.run([*command, pins], capture_output=True, text=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        return [_skipped(f"no answer within {seconds:g} s")], 0
    except OSError as error:
        return [_skipped(str(error))], 0
    packages = _packages(done.stdout)
    if packages is None:
        said = done.stderr.strip().splitlines() or ["no answer"]
        return [_skipped(said[-1])], 0
    passed_over = [package for package in packages if "skip_reason" in package]
    if len(passed_over) == len(packages):
        return [_skipped(str(passed_over[0]["skip_reason"]) if packages else f"{pins} pins no package")], 0
    lines = list(_known(packages))
    counts = f"{len(lines)} known vulnerabilities of {len(packages) - len(passed_over)} packages in {pins}"
    unknown = f"; {len(passed_over)} more could not be looked up" if passed_over else ""
    return [*lines, f"advisories: {counts}{unknown}."], len(lines)


def _skipped(why: str) -> str:
    return f"advisories: skipped, no vulnerability was looked for: {cut(printable(why), MOST_SAID)}"


def _packages(text: str) -> list[dict[str, Any]] | None:
    """Of pip-audit's answer; None where it has none."""
    try:
        found: list[dict[str, Any]] = json.loads(text)["dependencies"]
    except (ValueError, KeyError, TypeError):
        return None
    return found


def _known(packages: Sequence[dict[str, Any]]) -> Iterator[str]:
    for package in packages:
        for one in package.get("vulns", []):
            names = ", ".join([one["id"], *one.get("aliases", [])])
            mended = f"mended in {' and '.join(one['fix_versions'])}" if one["fix_versions"] else "not mended yet"
            yield f"{package['name']} {package['version']}: {names}; {mended}"
