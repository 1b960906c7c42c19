"""The architecture's gradient through one step of the weights, against closed forms and autograd."""

import copy

import pytest
import torch
from torch import nn

from nasir.search.gradient.unrolled import mixed_derivative, step_ahead, unrolled_gradients
from nasir.spaces import irnas


def scalar(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float64, requires_grad=True)


def test_mixed_derivative_matches_closed_form():
    # L(w, a) = a w^2, so d2L/da dw = 2w. At w = 3 along d = 0.5: 2 * 3 * 0.5 = 3.
    w, a = scalar(3.0), scalar(0.7)
    direction = torch.tensor([0.5], dtype=torch.float64)

    [estimate] = mixed_derivative(lambda: (a * w**2).sum(), [w], [direction], [a])

    assert estimate.item() == pytest.approx(3.0)
    assert w.item() == 3.0  # weights are put back


def test_mixed_derivative_takes_one_norm_over_all_weights():
    # L = a (u^2 v + v): d2L/da du = 2uv, d2L/da dv = u^2 + 1. At u = 2, v = 1 along (0.3, 0.4): 4 * 0.3 + 5 * 0.4 = 3.2.
    # The differences are those of a cubic in epsilon: off by epsilon^2 0.3^2 0.4 = 0.0004 * 0.036 at epsilon = 0.01 / 0.5.
    u, v, a = scalar(2.0), scalar(1.0), scalar(0.5)
    direction = [torch.tensor([0.3], dtype=torch.float64), torch.tensor([0.4], dtype=torch.float64)]

    [estimate] = mixed_derivative(lambda: (a * (u**2 * v + v)).sum(), [u, v], direction, [a])

    assert estimate.item() == pytest.approx(3.2 + 0.0004 * 0.036, abs=1e-12)


def test_without_a_direction_there_is_no_mixed_derivative():
    w, a = scalar(3.0), scalar(0.7)
    [estimate] = mixed_derivative(lambda: (a * w**2).sum(), [w], [torch.zeros(1, dtype=torch.float64)], [a])
    assert estimate.item() == 0.0


@pytest.mark.parametrize("momentum", [None, 0.4])
@pytest.mark.parametrize(("w_0", "a_0"), [(0.5, 1.5), (-1.2, 0.3), (2.0, -0.7)])
def test_the_unrolled_gradient_matches_autograd_through_the_step(w_0, a_0, momentum):
    # L_val = (a w - 1)^2 / 2, L_train = (w - a)^2 / 2
    rate, mu, decay = 0.1, 0.9, 3e-4
    w, a = scalar(w_0), scalar(a_0)
    optimiser = torch.optim.SGD([w], lr=rate, momentum=mu, weight_decay=decay)
    if momentum is not None:
        optimiser.state[w]["momentum_buffer"] = torch.tensor([momentum], dtype=torch.float64)

    loss, [found] = unrolled_gradients(
        lambda: ((w - a) ** 2 / 2).sum(), lambda: ((a * w - 1) ** 2 / 2).sum(), [w], [a], optimiser, []
    )

    stepped = w - rate * (mu * (momentum or 0.0) + (w - a) + decay * w)
    expected = ((a * stepped - 1) ** 2 / 2).sum()
    [gradient] = torch.autograd.grad(expected, [a])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    assert found.item() == pytest.approx(gradient.item(), rel=1e-3)
    [first_order] = torch.autograd.grad(((a * w - 1) ** 2 / 2).sum(), [a])
    assert found.item() != pytest.approx(first_order.item(), rel=1e-2)


def test_the_step_ahead_is_the_step_that_sgd_takes():
    generator = torch.Generator().manual_seed(0)
    w = torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True)
    unused = torch.ones(2, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.SGD([w, unused], lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(2):  # the second step has a momentum
        before = copy.deepcopy(optimiser.state_dict())
        started = w.detach().clone()
        step_ahead(lambda: (w**3).sum(), [w, unused], optimiser)
        ahead = w.detach().clone()
        assert str(optimiser.state_dict()) == str(before)

        w.data.copy_(started)
        (w**3).sum().backward()
        optimiser.step()
        optimiser.zero_grad()
        torch.testing.assert_close(ahead, w.detach(), rtol=1e-14, atol=0)
        assert torch.equal(unused, torch.ones_like(unused))


def supernet() -> irnas.Supernet:
    torch.manual_seed(0)
    net = irnas.Supernet(
        channels=1,
        nodes=1,
        layers=2,
        width=2,
        width_factors=(1, 2),
        stem_channels=3,
        residual=True,
        share_cells=True,
        share_alpha=True,
        beta_norm="incoming",
        activation="relu",
        sigmoid=False,
        partial=1,
        generator=torch.Generator().manual_seed(0),
    )
    net.output[1].reset_parameters()  # it starts at zero
    return net


def test_weights_statistics_and_optimiser_are_put_back_to_the_bit():
    net = supernet()
    optimiser = torch.optim.SGD(net.weights(), lr=0.05, momentum=0.9, weight_decay=3e-4)
    pictures = torch.rand(2, 2, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    net(pictures[0]).square().mean().backward()
    optimiser.step()
    net.zero_grad()
    before, momenta = copy.deepcopy(net.state_dict()), copy.deepcopy(optimiser.state_dict())
    assert any(name.endswith("num_batches_tracked") for name in before)

    loss, slopes = unrolled_gradients(
        lambda: net(pictures[0]).square().mean(),
        lambda: (net(pictures[1]) - 1).square().mean(),
        net.weights(),
        net.architecture(),
        optimiser,
        net.buffers(),
    )

    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    after = optimiser.state_dict()
    assert after["param_groups"] == momenta["param_groups"]
    assert after["state"].keys() == momenta["state"].keys()
    for number, state in after["state"].items():
        assert torch.equal(state["momentum_buffer"], momenta["state"][number]["momentum_buffer"])
    assert [slope.shape for slope in slopes] == [net.alpha.shape, net.beta.shape]
    assert all(slope.isfinite().all() and slope.abs().max() > 0 for slope in slopes)
    assert all(parameter.grad is None for parameter in net.parameters())
    assert loss.isfinite()


class Smooth(nn.Module):
    """A convolution or nothing, mixed by alpha, then batch normalisation: differences have no kinks to fall over."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.alpha = nn.Parameter(torch.tensor([0.3, -0.2]))
        self.convolution, self.norm, self.output = nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Conv2d(3, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = self.alpha.softmax(dim=0)
        return self.output(torch.tanh(self.norm(weights[0] * self.convolution(x) + weights[1] * x)))


def test_on_a_network_it_matches_autograd_through_the_step():
    net = Smooth().double()
    weights = {name: weight for name, weight in net.named_parameters() if name != "alpha"}
    optimiser = torch.optim.SGD(weights.values(), lr=0.5, momentum=0.9, weight_decay=3e-4)
    pictures = torch.rand(2, 2, 1, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss(number: int, at: dict[str, torch.Tensor]) -> torch.Tensor:
        return (torch.func.functional_call(net, at, pictures[number]) - pictures[number]).square().mean()

    _, [found] = unrolled_gradients(
        lambda: loss(0, {}), lambda: loss(1, {}), list(weights.values()), [net.alpha], optimiser, net.buffers()
    )

    slopes = torch.autograd.grad(loss(0, {}), list(weights.values()), create_graph=True)
    stepped = {
        name: weight - 0.5 * (slope + 3e-4 * weight)
        for (name, weight), slope in zip(weights.items(), slopes, strict=True)
    }
    [expected] = torch.autograd.grad(loss(1, stepped), [net.alpha])
    [direct] = torch.autograd.grad(loss(1, {name: weight.detach() for name, weight in stepped.items()}), [net.alpha])
    assert (found - expected).norm() < 1e-3 * expected.norm()
    assert (direct - expected).norm() > 0.1 * expected.norm()  # what the first term of equation 7 alone would miss
