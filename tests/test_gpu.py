"""What only a CUDA device can show. Run with `pytest -m gpu`."""

import pytest
import torch

from nasir.spaces import irnas


@pytest.mark.gpu
def test_the_supernet_gives_on_cuda_what_it_gives_on_a_cpu():
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    torch.manual_seed(0)
    net = irnas.Supernet(
        channels=1,
        nodes=2,
        layers=2,
        width=4,
        width_factors=(1, 2, 4),
        stem_channels=8,
        residual=True,
        share_cells=True,
        share_alpha=True,
        beta_norm="incoming",
        activation="relu",
        sigmoid=False,
        partial=1,
        generator=torch.Generator().manual_seed(0),
    ).double()
    net.output[1].reset_parameters()  # it starts at zero
    x = torch.rand(2, 1, 24, 20, dtype=torch.float64)
    expected = net(x)
    expected.square().mean().backward()
    gradient = net.alpha.grad.clone()
    net.zero_grad()
    on_gpu = net.cuda()
    found = on_gpu(x.cuda())
    found.square().mean().backward()
    torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(on_gpu.alpha.grad.cpu(), gradient, rtol=1e-6, atol=1e-9)
