"""Every window of parameters that a profile gives a strategy holds networks of the space that it is for."""

import random
from pathlib import Path

import pytest
import torch

from nasir.config import reading
from nasir.layers import cost
from nasir.settings import resolve
from nasir.spaces import contract

ROOT = Path(__file__).parents[2]
DRAWS = 300
SEARCHED = [
    (space, strategy)
    for space in ("irnas", "hinas", "clearer", "nekrasov")
    for strategy in ("one_shot", "random", "rl")
    if (space, strategy) != ("nekrasov", "one_shot")  # which has no shared weights
]


def draw(space: contract.Space, section: object, chance: random.Random) -> int:
    """Parameters of a network of the space."""
    chosen: list[int] = []
    for _ in space.tokens(section):
        allowed = [n for n, is_allowed in enumerate(space.mask(section, chosen)) if is_allowed]
        chosen.append(chance.choice(allowed))
    with torch.device("meta"):
        return cost.parameters(space.build(space.from_tokens(section, chosen), space.candidate_sizes(section), 1))


@pytest.mark.parametrize("profile", ["demo", "small", "overnight"])
@pytest.mark.parametrize(("name", "strategy"), SEARCHED)
def test_a_window_holds_networks(profile, name, strategy):
    params = reading.read(ROOT / "params.yaml") | {"space": name, "profile": profile}
    settings = resolve(params, ROOT / "profiles", strategy)
    low, high = settings["strategy"]["window"]
    space = contract.find(name)
    section = reading.build(settings["space"], space.Section, "space")
    chance = random.Random(0)

    assert any(low <= draw(space, section, chance) <= high for _ in range(DRAWS)), f"none in {low} to {high}"
