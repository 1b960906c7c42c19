"""First values of convolutions."""

from torch import nn


def start_at_zero(conv: nn.Conv2d) -> None:
    """Let a network that says what to subtract from its input start by subtracting nothing.

    With random values it starts far from any restoration, and a short training does not make up for it.
    """
    nn.init.zeros_(conv.weight)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def start_normal(network: nn.Module, std: float) -> nn.Module:
    """Give all convolutions values of N(0, std^2) and biases of 0; with std 0 they keep torch's. Gives the network."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and std > 0:
            nn.init.normal_(module.weight, std=std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return network
