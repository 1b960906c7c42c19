"""cards: what is read here of a shipped network's card and scores; a value of another kind is refused with the file's name."""

from typing import Any, NotRequired, TypedDict

from nasir.files import read_csv, read_json
from nasir.inference import zoo
from nasir.reporting import cells
from nasir.shapes import hold, require_unique

COLUMNS = ("protocol", "name", *cells.MEASURES)
"""Of a network's scores."""


class Means(TypedDict):
    """Of the scores under one protocol."""

    images: int
    psnr_db: float


class Data(TypedDict):
    """Whose images they are."""

    dataset: str


class Loss(TypedDict):
    """What a card tells of the training's settings, as far as it is read."""

    ssim_weight: float


class Origin(TypedDict):
    """The shipped network whose search has found the architecture."""

    name: str
    task: str


class MadeWith(TypedDict):
    """Settings."""

    profile: str
    seed: int
    retrain: Loss
    architecture_of: NotRequired[Origin]


class Cost(TypedDict, total=False):
    """What a training took; empty where it was not run here."""

    seconds: float
    device: str
    is_resumed: bool


class Runs(TypedDict):
    """Receipts."""

    search: Cost
    retrain: Cost


class Card(TypedDict):
    """Of a card, as far as it is read."""

    name: str
    task: str
    sigma: float
    parameters: int
    flops_per_pixel: float
    scores: dict[str, Means]
    data: Data
    made_with: MadeWith
    runs: Runs
    sha256: dict[str, str]


def read(name: str) -> dict[str, Any]:
    """`zoo.card`, with all that is read of it here.

    Raises:
        ValueError: if there is none of this name, or its card is damaged.
    """
    path = zoo.SHELF / name / zoo.CARD
    if path.is_file():
        hold(read_json(path), Card, path, f"restore it (git checkout {path})")
    return zoo.card(name)


def scores(name: str) -> list[dict[str, str]]:
    """The scores beside a shipped network, each a finite number and once; its files are checked, too.

    Raises:
        ValueError: if a file is not the one that the card names, or the scores are damaged.
    """
    path = zoo.folder(name) / "scores.csv"
    rows = read_csv(path, COLUMNS)
    cells.to_scores(rows, path)
    require_unique(rows, ("protocol", "name"), path, f"restore it (git checkout {path})")
    return rows
