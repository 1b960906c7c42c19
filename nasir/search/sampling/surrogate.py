"""Networks that were trained once, as a table on which strategies are tried in seconds; what is not in it is predicted.

As in NAS-Bench-301 (Siems et al., arXiv:2008.09777; Zela et al., ICLR 2022) a model that was fitted on some of a space's networks
stands in for all of them: here a ridge regression. What it sees of a network, and its penalty, are what predicts networks that
were left out best, so that a short table, on which little can be told apart, gives a plain model.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from nasir.search.sampling.tokens import Tokens

PENALTIES = tuple(10.0**power for power in range(-3, 4))
"""Of the squared weights."""

VIEWS: tuple[tuple[str, ...], ...] = (("counts",), ("choices",), ("counts", "choices"), ("counts", "choices", "pairs"))
"""What the model may see of a network: how many tokens take each choice; the choice of each token, one-hot; the choices of each
two neighbouring tokens, one-hot."""

Array = NDArray[np.float64]


class Surrogate:
    """Scores of all networks of a space, out of those of some.

    Args:
        known: score of each network that was trained, dB, by its tokens; three at least, all of one length.

    Attributes:
        known: the same.
        left_out: what is predicted for each of them, in order, by a model that was chosen and fitted on the others alone, dB.
        view, penalty: of the model that was chosen on all.

    Raises:
        ValueError: if there are fewer than three, or of several lengths.
    """

    def __init__(self, known: Mapping[Tokens, float]) -> None:
        lengths = sorted({len(tokens) for tokens in known})
        if len(known) < 3 or len(lengths) != 1:
            raise ValueError(
                f"a table must hold three networks or more, all with as many tokens, got {len(known)} with {lengths} tokens."
            )
        self.known = dict(known)
        self._choices = [sorted({tokens[place] for tokens in known}) for place in range(lengths[0])]
        seen = {view: self._see(list(known), view) for view in VIEWS}
        y = np.array(list(known.values()))
        self.view, self.penalty, self._weights = _choose(seen, y)
        self.left_out = np.empty(len(y))
        for place in range(len(y)):
            rest = np.arange(len(y)) != place
            view, _, weights = _choose({view: x[rest] for view, x in seen.items()}, y[rest])
            self.left_out[place] = seen[view][place] @ weights

    def __call__(self, networks: Sequence[Tokens]) -> Array:
        """What is predicted for each of several networks, dB, shape (networks,).

        Raises:
            ValueError: for another number of tokens.
        """
        wrong = sorted({len(tokens) for tokens in networks} - {len(self._choices)})
        if wrong:
            raise ValueError(f"a network of this table has {len(self._choices)} tokens, got {wrong[0]}.")
        predicted: Array = self._see(networks, self.view) @ self._weights
        return predicted

    def _see(self, networks: Sequence[Tokens], view: Sequence[str]) -> Array:
        """Features, shape (networks, features), the first column of ones."""
        taken = np.array(networks)
        numbers = sorted({number for own in self._choices for number in own})
        hot = [[taken[:, place] == number for number in own] for place, own in enumerate(self._choices)]
        parts = {
            "counts": [(taken == number).sum(axis=1) for number in numbers],
            "choices": [column for own in hot for column in own],
            "pairs": [a & b for first, second in pairwise(hot) for a in first for b in second],
        }
        columns = [column for part in view for column in parts[part]]
        return np.column_stack([np.ones(len(taken)), *columns]).astype(np.float64)


def _choose(seen: Mapping[tuple[str, ...], Array], y: Array) -> tuple[tuple[str, ...], float, Array]:
    """The view and the penalty with the least squared error on left-out rows, and the weights of the fit on all."""
    best = (np.inf, VIEWS[0], 0.0, y)
    for view, x in seen.items():
        for penalty in PENALTIES:
            weights, left_out = _fit(x, y, penalty)
            error = float(np.square(left_out - y).mean())
            if error < best[0]:
                best = (error, view, penalty, weights)
    return best[1:]


def _fit(x: Array, y: Array, penalty: float) -> tuple[Array, Array]:
    """Weights of the ridge regression, and the predictions for each row by the fit on the others.

    The first column, of ones, is not penalised. Left-out residuals are r / (1 - h), h the diagonal of the hat matrix.
    """
    gram = x.T @ x + penalty * np.diag([0.0, *np.ones(x.shape[1] - 1)])
    inverse = np.linalg.inv(gram)
    weights = inverse @ x.T @ y
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    return weights, y - (y - x @ weights) / (1 - leverage)
