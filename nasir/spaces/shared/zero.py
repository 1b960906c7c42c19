"""The operation that connects nothing."""

import torch
from torch import Tensor, nn


class Zero(nn.Module):
    """`none`: no connection; returns zeros."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)
