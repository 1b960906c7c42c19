"""Every window of parameters that a profile gives a strategy holds networks of the space that it is for."""

from pathlib import Path

import pytest
import torch

from nasir.config import reading
from nasir.search.sampling.tokens import Window
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


@pytest.mark.parametrize("profile", ["demo", "small", "overnight"])
@pytest.mark.parametrize(("name", "strategy"), SEARCHED)
def test_a_window_holds_networks(profile, name, strategy):
    params = reading.read(ROOT / "params.yaml") | {"space": name, "profile": profile}
    settings = resolve(params, ROOT / "profiles", strategy)
    lowest, highest = settings["strategy"]["window"]
    window = Window(of=settings["strategy"]["window_of"], lowest=lowest, highest=highest)
    space = contract.find(name)
    section = reading.build(settings["space"], space.Section, "space")
    generator = torch.Generator().manual_seed(0)
    drawn = (space.from_tokens(section, contract.random_tokens(space, section, generator)) for _ in range(DRAWS))

    assert any(window.holds(space, section, 1, genotype) for genotype in drawn), f"none in {window}"
