"""A genotype file out of another: as it is, or modified; or why there is none, in a file that later stages pass on."""

from pathlib import Path

from nasir.config.derive import DeriveConfig
from nasir.files import read_json, write_json
from nasir.spaces import contract
from nasir.spaces.contract import Genotype, Space

FILE = "reason.json"


def write(source: Path, out: Path, space: Space, config: DeriveConfig, or_reason: bool) -> Genotype | None:
    """Write the genotype of the file `source` into the file `out`, modified where the section says so.

    Where it has nothing to modify, with `or_reason` the reason is written beside `out` in place of it; else that is an
    error.

    Returns:
        The genotype; None where there is a reason.

    Raises:
        ValueError: for a file that is no genotype of the space, or a modification that it does not have.
    """
    try:
        genotype = space.from_json(read_json(source))
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from error
    if config.modify != "none":
        if not space.modifying:
            raise ValueError(f"derive.modify must be none with the space {space.name}, got {config.modify!r}.")
        try:
            genotype = contract.part(space.modifying).modify(genotype, config.modify, config.modify_seed)
        except contract.NothingToModifyError as error:
            if not or_reason:
                raise
            out.unlink(missing_ok=True)
            note(out.parent, f"the search found a network that this leaves as it is: {error}")
            return None
    clear(out.parent)
    write_json(out, space.to_json(genotype))
    return genotype


def note(folder: Path, reason: str) -> None:
    """Note in `folder` why what belongs there was not made."""
    write_json(folder / FILE, {"reason": reason})


def clear(folder: Path) -> None:
    """Take away what an earlier run noted."""
    (folder / FILE).unlink(missing_ok=True)


def find(folder: Path) -> str | None:
    """The reason that `folder` holds; None where it holds none."""
    path = folder / FILE
    return str(read_json(path)["reason"]) if path.is_file() else None
