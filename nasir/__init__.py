"""Neural architecture search for image restoration that anyone can re-run.

import nasir

denoise = nasir.load("irnas-bsd500-50")                                # a shipped network, or "runs/retrain/model"
rows = nasir.score(denoise, images, sigma=50, protocol="overlap", seed=0)              # of any callable
print({name: protocol.description for name, protocol in nasir.protocols.items()})
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nasir.evaluation.protocols import PROTOCOLS as protocols
    from nasir.evaluation.protocols import score as score
    from nasir.inference.model import load as load

__all__ = ["load", "protocols", "score"]
__version__ = "0.1.0"

_OFFERED = {
    "load": ("nasir.inference.model", "load"),
    "protocols": ("nasir.evaluation.protocols", "PROTOCOLS"),
    "score": ("nasir.evaluation.protocols", "score"),
}
"""Where each name comes from; it is imported when it is asked for, since torch takes seconds."""


def __getattr__(name: str) -> Any:
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it offers {', '.join(_OFFERED)}.")
    module, attribute = _OFFERED[name]
    return getattr(import_module(module), attribute)
