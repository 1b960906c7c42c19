"""Networks that were trained once, as a table on which strategies are tried in seconds; what is not in it is predicted.

As in NAS-Bench-301 (Zela et al., ICLR 2022) a model that was fitted on some of a space's networks stands in for the others: here
a ridge regression on the choices of all tokens, one-hot: each choice is worth so many dB wherever it stands beside others.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from nasir.search.sampling.tokens import Tokens

PENALTIES = tuple(10.0**power for power in range(-3, 4))
"""Of the squared weights; the one with the least error on networks that were left out is taken."""


class Surrogate:
    """Scores of all networks of a space, out of those of some.

    Args:
        known: score of each network that was trained, dB, by its tokens; two at least, all of one length.

    Attributes:
        known: the same.
        left_out: what is predicted for each of them by the model that is fitted on the others, in order.

    Raises:
        ValueError: if there are fewer than two, or of several lengths.
    """

    def __init__(self, known: Mapping[Tokens, float]) -> None:
        lengths = sorted({len(tokens) for tokens in known})
        if len(known) < 2 or len(lengths) != 1:
            raise ValueError(
                f"a table must hold two networks or more, all with as many tokens, got {len(known)} with {lengths} tokens."
            )
        self.known = dict(known)
        self._choices = [sorted({tokens[place] for tokens in known}) for place in range(lengths[0])]
        x = np.stack([self._features(tokens) for tokens in known])
        y = np.array(list(known.values()))
        fits = [_fit(x, y, penalty) for penalty in PENALTIES]
        self._weights, self.left_out = min(fits, key=lambda fit: float(np.square(fit[1] - y).mean()))

    def __call__(self, tokens: Tokens) -> float:
        """A network's score: what it reached, or what is predicted for it, dB.

        Raises:
            ValueError: for another number of tokens.
        """
        if len(tokens) != len(self._choices):
            raise ValueError(f"a network of this table has {len(self._choices)} tokens, got {len(tokens)}.")
        found = self.known.get(tokens)
        return float(self._features(tokens) @ self._weights) if found is None else found

    def _features(self, tokens: Tokens) -> NDArray[np.float64]:
        hot = [float(token == choice) for token, own in zip(tokens, self._choices, strict=True) for choice in own]
        return np.array([1.0, *hot])


def _fit(
    x: NDArray[np.float64], y: NDArray[np.float64], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights of the ridge regression, and the predictions for each row by the fit on the others.

    The first column, of ones, is not penalised. Left-out residuals are r / (1 - h), h the diagonal of the hat matrix.
    """
    gram = x.T @ x + penalty * np.diag([0.0, *np.ones(x.shape[1] - 1)])
    inverse = np.linalg.inv(gram)
    weights = inverse @ x.T @ y
    leverage = np.einsum("ij,jk,ik->i", x, inverse, x)
    return weights, y - (y - x @ weights) / (1 - leverage)
