"""derive: the genotype of the best supernet, and its drawing."""

from pathlib import Path

from nasir import genotype as genotypes
from nasir.config import DeriveConfig
from nasir.files import Log, read_json
from nasir.reporting import architecture
from nasir.search.derive import derive
from nasir.search.modify import NothingToModifyError, modify
from nasir.search.random import INPUTS
from nasir.training.model import read_tensors
from stages import reasons


def run(*, search: Path, out: Path, or_reason: bool, config: DeriveConfig, log: Log) -> None:
    """Write `genotype.json`, `architecture.svg` and `architecture.png` into `out`; modified, where the section says so.

    Args:
        or_reason: where the genotype has nothing to modify, write why in place of it; else that is an error.
    """
    facts = read_json(search / "search.json")
    if facts["strategy"] == "random" and config.inputs != INPUTS:
        raise ValueError(
            f"derive.inputs must be {INPUTS} after a random search, whose candidates were decoded so, got {config.inputs}; "
            "another number would derive a network that was never scored."
        )
    tensors = read_tensors(search / "architecture.safetensors")
    genotype = derive(
        tensors["alpha"],
        tensors["beta"],
        space=facts["space"],
        nodes=facts["nodes"],
        width_factors=facts["width_factors"],
        residual=facts["residual"],
        activation=facts["activation"],
        beta_norm=facts["beta_norm"],
        inputs=config.inputs,
    )
    try:
        genotype = modify(genotype, config.modify, config.modify_seed)
    except NothingToModifyError as error:
        if not or_reason:
            raise
        reasons.write(out, f"the search found a network that this leaves as it is: {error}")
        return
    reasons.clear(out)
    genotypes.save(genotype, out / "genotype.json")
    architecture.draw(genotype, facts["width"], out / "architecture.svg", out / "architecture.png")
    log(1, {f"level_{layer}": float(level) for layer, level in enumerate(genotype.path)})
