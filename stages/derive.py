"""derive: the genotype that the search found, modified where that is asked for, and its drawing."""

from dataclasses import fields
from pathlib import Path

from nasir.config import reading
from nasir.config.derive import DeriveConfig
from nasir.files import Log
from nasir.shapes import naming, read
from nasir.spaces import contract
from nasir.spaces.contract import Space
from stages.around import modifying

ARTIFACTS = ("genotype.json", "architecture.png", "architecture.svg")


def run(*, search: Path, out: Path, space: Space, config: DeriveConfig, log: Log) -> None:
    """Write `genotype.json`, `architecture.svg` and `architecture.png` into `out`; modified, where the section says so.

    Args:
        search: what the search wrote.
        out: folder to write into.
        space: whose genotype it is.
        config: whether it is modified.
        log: called once.
    """
    genotype = modifying.write(search / "genotype.json", out / "genotype.json", space, config, or_reason=False)
    path, again = search / "search.json", "run search again"
    facts = read(path, dict[str, object], again)
    with naming(path, again):
        own = {field.name for field in fields(space.Section)}
        reading.build(
            {name: value for name, value in facts.items() if name in own}, space.Section, "the space's section"
        )
    contract.part(space.drawing).draw(genotype, facts, out / "architecture.svg", out / "architecture.png")
    log(1, {"is_modified": float(config.modify != "none")})
