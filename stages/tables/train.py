"""train: one run of the tables: a network found or designed by hand, modified, trained and scored under all its protocols."""

from pathlib import Path
from typing import Any

from nasir.config.derive import DeriveConfig
from nasir.config.evaluate import EvaluateConfig
from nasir.config.retrain import RetrainConfig, ToneConfig
from nasir.config.training import SafetyConfig
from nasir.files import Log, sha256_file
from nasir.inference import model as models
from nasir.spaces.contract import Space
from nasir.training import parallel
from nasir.training.device import choose, set_determinism
from stages import retrain
from stages.around import modifying
from stages.tables import score

ARTIFACTS = ("cell.json", "model")
PROCESSES = True


def count(split: Path, cell: dict[str, Any], retraining: RetrainConfig) -> int:
    """Steps of the training and the scores that follow."""
    return retraining.steps + score.scores(split, cell)


def run(
    *,
    pictures: Path,
    split: Path,
    source: Path,
    checkpoint: Path,
    out: Path,
    cell: dict[str, Any],
    task: str,
    sigma: float,
    space: Space,
    of_network: Any,
    seed: int,
    deriving: DeriveConfig,
    retraining: RetrainConfig,
    tone: ToneConfig,
    config: EvaluateConfig,
    safety: SafetyConfig,
    code: str,
    log: Log,
) -> None:
    """Write the model folder, `history.csv`, `scores.csv` and `cell.json` into `out`.

    With several processes all of them train, and the first one scores.

    Args:
        pictures, split: the data set.
        source: genotype.json of the search; of a baseline it is not read.
        checkpoint: written as training goes and carried on from. The last one is kept beside it as `.done`: a kill while
            scores are made, or a change in how they are made, trains nothing again.
        out: folder to write into.
        cell: the run's method, whether that is a baseline, and its protocols.
        task, sigma, seed: what it is trained and scored for.
        space, of_network: of a found network, and its sizes.
        deriving: whether a found network is modified.
        retraining: how it is trained.
        tone: whether and how the tone of degraded images is estimated.
        config: how it is scored.
        safety: what is done against the loss of the training.
        code: digest of the code that the training depends on.
        log: called with news of the training, then of the scores.
    """
    facts = {"method": cell["method"], "sigma": sigma, "seed": seed, "draw": cell["draw"]}
    genotype = None if cell["is_baseline"] else out / "genotype.json"
    if genotype is not None:
        modifying.write(source, genotype, space, deriving, or_reason=True)
        if (reason := modifying.find(out)) is not None:
            score.write_reason(out, facts, split, reason)
            return
    retrain.train(
        pictures=pictures, split=split, genotype=genotype, network=cell["method"] if genotype is None else None,
        checkpoint=checkpoint, finished=checkpoint.with_suffix(".done"), out=out,
        task=task, sigma=sigma, space=space, of_network=of_network, seed=seed,
        config=retraining, tone=tone, safety=safety, code=code, log=log,
    )  # fmt: skip
    if not parallel.is_first():
        return
    device = choose(config.device)
    set_determinism(device)
    network = models.load(out / "model", device=device)
    facts["genotype_sha256"] = None if genotype is None else sha256_file(genotype)
    score.score(
        network, facts, pictures=pictures, split=split, out=out, protocols=cell["protocols"], task=task, sigma=sigma,
        seed=seed, config=config, log=score.behind(log, retraining.steps),
    )  # fmt: skip
