"""Has a search collapsed? Said in `search.json`, at the top of the report and in a command's last line."""

from statistics import median
from typing import Any

from nasir.search.contract import Found
from nasir.spaces.contract import Space

MOST = 0.75
"""The share of operations that compute nothing from which a network counts as collapsed."""

NEXT = {
    "darts": "try search.strategy one_shot, or strategy.beta_decay 0.5",
    "one_shot": "try twice the search.steps, or a narrower strategy.window",
    "rl": "try more strategy.candidates, or longer trainings (strategy.steps)",
    "random": "try more strategy.candidates",
}
"""What to try, by strategy."""


def look(found: Found, space: Space, strategy: str) -> dict[str, Any]:
    """What speaks for a collapse.

    Args:
        found: what the search found.
        space: of its genotype.
        strategy: its name.

    Returns:
        `idle_share` (`nasir.spaces.contract.Space.idle_share`), `control_score` and `control_median` (the found network and
        the median of random ones by the search's own measure; None where it has no control) and `collapse`: a sentence
        that says what is wrong and what to try, empty if nothing is.
    """
    idle = space.idle_share(found.genotype)
    chance = median(found.control.random) if found.control is not None else None
    signs = []
    if idle >= MOST:
        signs.append(f"{idle:.0%} of the found network's operations compute nothing")
    if found.control is not None and chance is not None and found.control.found < chance:
        signs.append(
            f"it scores {found.control.found:.4f} on V where the median of random networks is {chance:.4f}, by the "
            "search's own measure"
        )
    sentence = f"The search has collapsed: {'; '.join(signs)}; {NEXT.get(strategy, 'try another search.strategy')}."
    return {
        "idle_share": idle,
        "control_score": found.control.found if found.control is not None else None,
        "control_median": chance,
        "collapse": sentence if signs else "",
    }
