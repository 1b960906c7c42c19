"""The fast twin against the plain one, which is the oracle: outputs, gradients, statistics, memory."""

import copy
import itertools
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasir.spaces import hinas, irnas
from nasir.spaces.cells.cell import SuperCell
from nasir.spaces.cells.fast import operations
from nasir.spaces.cells.fast.cell import FastCell
from nasir.spaces.cells.fast.fused import (
    DilatedDepthwise,
    d_depthwise,
    d_pointwise,
    depthwise,
    moments_of,
    pointwise,
    projections,
)
from nasir.spaces.cells.fast.twin import convert
from nasir.spaces.cells.operations import Style
from nasir.spaces.cells.section import CHOICES
from nasir.training.losses import restoration_loss

RECOMPUTE = CHOICES["recompute"]
CASES = list(itertools.product(("irnas", "hinas"), (True, False), ("incoming", "outgoing")))


def plain(space="irnas", share_alpha=True, beta_norm="incoming", activation=None, **changes):
    """A supernet of three layers and two nodes with random alpha and beta, in float64."""
    torch.manual_seed(0)
    settings = {
        "channels": 1,
        "nodes": 2,
        "layers": 3,
        "width": 2,
        "width_factors": (1.0, 1.5, 2.0),
        "stem_channels": 5,
        "residual": True,
        "share_alpha": share_alpha,
        "beta_norm": beta_norm,
        "activation": activation or {"irnas": "relu", "hinas": "leaky_relu"}[space],
        "sigmoid": space == "hinas",
        "partial": 1,
        "generator": torch.Generator().manual_seed(0),
    } | changes
    if space == "irnas":
        settings.setdefault("share_cells", True)
    net = {"irnas": irnas, "hinas": hinas}[space].Supernet(**settings).double()
    with torch.no_grad():
        for logits in net.architecture():
            logits.normal_()
        for name, parameter in net.named_parameters():
            if "predict" in name:  # else offsets are zero and sampled at whole pixels, where their gradient jumps
                parameter.normal_(std=0.3)
    [last] = [module for module in net.output.modules() if isinstance(module, nn.Conv2d)]
    last.reset_parameters()  # it starts at zero
    return net


def twin(net, recompute="none"):
    net = copy.deepcopy(net)
    convert(net, recompute)
    return net


def step(net, dtype=torch.float64):
    """Output, loss and the gradient of every parameter of a training step on two 9x10 images."""
    generator = torch.Generator().manual_seed(1)
    clean = torch.rand(2, 1, 11, 12, generator=generator, dtype=torch.float64)
    noisy = clean + 0.2 * torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    restored = net(noisy.to(dtype))
    loss = restoration_loss(restored, clean.to(dtype), 0.5)
    names, parameters = zip(*net.named_parameters(), strict=True)
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return restored.detach(), {n: g for n, g in zip(names, gradients, strict=True) if g is not None}


def relative(value, expected, floor=1e-12):
    """Largest deviation over the largest expected value; `floor` stands in where the gradient is zero in theory."""
    return ((value - expected).abs().max() / expected.abs().max().clamp(min=floor)).item()


@pytest.mark.parametrize(("space", "share_alpha", "beta_norm"), CASES)
def test_outputs_and_all_gradients_equal_the_plain_twins(space, share_alpha, beta_norm):
    net = plain(space, share_alpha, beta_norm)
    expected, gradients = step(net)

    restored, found = step(twin(plain(space, share_alpha, beta_norm)))

    assert relative(restored, expected) < 1e-9
    assert found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(found[name], gradient, rtol=0, atol=max(1e-9 * gradient.abs().max().item(), 1e-14)), name


def test_one_image_in_other_than_channels_last_equals_the_plain_twins():
    cells = {}
    for make in (SuperCell, partial(FastCell, recompute="none")):
        torch.manual_seed(0)
        cell = make(hinas.OPERATIONS, 2, 3, Style(activation="leaky_relu", separable=2)).double()
        before_last, last = torch.randn(2, 1, 3, 8, 8, dtype=torch.float64).requires_grad_()
        out = cell(before_last, last, torch.rand(len(cell.edges), len(cell.names), dtype=torch.float64))
        cells[make] = out, *torch.autograd.grad(out.pow(3).sum(), (last, *cell.parameters()))

    expected, found = cells.values()
    assert max(relative(one, other, floor=1e-3) for one, other in zip(found, expected, strict=True)) < 1e-9


@pytest.mark.parametrize("recompute", RECOMPUTE)
@pytest.mark.parametrize("space", ["irnas", "hinas"])
def test_recomputation_changes_nothing(space, recompute):
    oracle, net = plain(space), twin(plain(space), recompute)
    expected, gradients = step(oracle)

    restored, found = step(net)

    assert relative(restored, expected) < 1e-9
    for name, gradient in gradients.items():
        assert torch.allclose(found[name], gradient, rtol=0, atol=max(1e-9 * gradient.abs().max().item(), 1e-14)), name
    for name, buffer in oracle.named_buffers():
        assert torch.allclose(net.get_buffer(name).double(), buffer.double(), rtol=1e-10), name


def test_cells_of_their_own_for_each_path_equal_the_plain_ones_too():
    expected, gradients = step(plain(share_cells=False))

    restored, found = step(twin(plain(share_cells=False)))

    assert relative(restored, expected) < 1e-9
    assert max(relative(found[name], gradient, floor=1e-5) for name, gradient in gradients.items()) < 1e-9


@pytest.mark.parametrize("activation", CHOICES["activation"])
def test_both_activations_equal_the_plain_twins(activation):
    expected, gradients = step(plain("hinas", activation=activation))

    restored, found = step(twin(plain("hinas", activation=activation)))

    assert relative(restored, expected) < 1e-9
    assert max(relative(found[name], gradient, floor=1e-5) for name, gradient in gradients.items()) < 1e-9


@pytest.mark.parametrize("space", ["irnas", "hinas"])
def test_partial_channels_equal_the_plain_twins(space):
    expected, gradients = step(plain(space, width=4, partial=2))

    restored, found = step(twin(plain(space, width=4, partial=2)))

    assert relative(restored, expected) < 1e-9
    assert max(relative(found[name], gradient, floor=1e-5) for name, gradient in gradients.items()) < 1e-9


@pytest.mark.parametrize("space", ["irnas", "hinas"])
def test_float32_is_as_near_to_float64_as_the_plain_twin(space):
    exact, gradients = step(plain(space))
    errors = {}
    for name, net in (("plain", plain(space).float()), ("fast", twin(plain(space).float()))):
        restored, found = step(net, torch.float32)
        assert relative(restored.double(), exact) < 1e-5
        whole = torch.cat([g.flatten() for g in gradients.values()])
        errors[name] = (torch.cat([found[n].double().flatten() for n in gradients]) - whole).norm() / whole.norm()
    assert errors["fast"] < 2 * errors["plain"]


@pytest.mark.parametrize("space", ["irnas", "hinas"])
def test_evaluation_follows_the_running_statistics(space):
    net = plain(space)
    other = twin(net)
    for supernet in (net, other):
        step(supernet)
        supernet.eval()
    noisy = torch.rand(1, 1, 7, 9, dtype=torch.float64)

    with torch.no_grad():
        expected, restored = net(noisy), other(noisy)

    assert relative(restored, expected) < 1e-9
    assert other.state_dict().keys() == net.state_dict().keys()


def test_weights_go_from_one_twin_to_the_other():
    net = plain("hinas")
    other = twin(plain("hinas"))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.1)

    net.load_state_dict(other.state_dict())

    assert relative(step(net)[0], step(other)[0]) < 1e-9


@pytest.mark.parametrize("side", [3, 5])
def test_gradients_of_a_depthwise_convolution_equal_autograd(side):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 6, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 1, side, side, generator=generator, dtype=torch.float64, requires_grad=True)
    g = torch.randn(2, 3, 6, 7, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad(depthwise(x, weight), (x, weight), g)

    found = d_depthwise(g, x.detach(), weight.detach())

    assert all(torch.allclose(a, b, rtol=1e-12, atol=1e-12) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("count", [35, 48, 640])  # groups of 1, 16 and 64 rows
def test_statistics_of_groups_put_together_are_those_of_all_rows(count):
    generator = torch.Generator().manual_seed(0)
    y, g = torch.randn(2, count, 3, generator=generator, dtype=torch.float64)
    y += torch.linspace(-5, 5, count, dtype=torch.float64).unsqueeze(1)  # groups differ

    means, variances = moments_of([y, -2 * y])
    sum_g, products = projections(g, [y, -2 * y], means)

    assert torch.allclose(means, torch.stack((y.mean(0), -2 * y.mean(0))), rtol=1e-13)
    assert torch.allclose(variances[0], y.var(0, correction=0), rtol=1e-13)
    assert torch.allclose(variances[1], 4 * variances[0], rtol=1e-13)
    assert torch.allclose(sum_g, g.sum(0), rtol=1e-12)
    assert torch.allclose(products[0], (g * (y - y.mean(0))).sum(0), rtol=1e-12)
    assert torch.allclose(products[1], -2 * products[0], rtol=1e-12)


@pytest.mark.parametrize(("groups", "channels"), [(1, 5), (4, 3), (4, 13)])  # 52 channels are worked on group by group
def test_pointwise_convolutions_and_their_gradients_are_torchs(groups, channels):
    generator = torch.Generator().manual_seed(0)
    x, g = torch.randn(2, 3, groups * channels, 8, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(groups * channels, channels, 1, 1, generator=generator, dtype=torch.float64)
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    expected = F.conv2d(x, weight, groups=groups)

    assert torch.allclose(pointwise(x, weight, groups), expected, rtol=1e-12, atol=1e-12)
    gradients = torch.autograd.grad(expected, leaves, g)
    for found, wanted in zip(d_pointwise(g, x.detach(), weight.detach(), groups), gradients, strict=True):
        assert torch.allclose(found, wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("side", "dilation"), [(3, 2), (3, 16), (5, 3)])  # taps that lie outside the image, too
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_dilated_depthwise_convolutions_and_their_gradients_are_torchs(side, dilation, layout):
    generator = torch.Generator().manual_seed(0)
    x, g = (
        torch.randn(2, 4, 14, 9, generator=generator, dtype=torch.float64).to(memory_format=layout) for _ in range(2)
    )
    weight = torch.randn(4, 1, side, side, generator=generator, dtype=torch.float64)
    leaves = [x.requires_grad_(), weight.requires_grad_()]
    expected = F.conv2d(x, weight, padding=dilation * (side // 2), dilation=dilation, groups=4)
    found = DilatedDepthwise.apply(x, weight, dilation)

    assert torch.allclose(found, expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(*(torch.autograd.grad(y, leaves, g) for y in (found, expected)), strict=True):
        assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_recomputation_of_edges_samples_deformable_convolutions_once(monkeypatch):
    counts, sample = {}, operations.deformable_conv
    for recompute in ("none", "edge"):
        calls = []
        monkeypatch.setattr(
            operations, "deformable_conv", lambda *given, calls=calls: (calls.append(1), sample(*given))[1]
        )
        step(twin(plain("irnas"), recompute))
        counts[recompute] = len(calls)

    assert counts["edge"] == counts["none"] > 0


def test_bfloat16_convolutions_keep_float32_statistics():
    net = twin(plain("hinas").float())
    exact, _ = step(twin(plain("hinas").float()), torch.float32)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        restored, gradients = step(net, torch.float32)

    assert relative(restored.float(), exact) < 0.05  # bfloat16 has 8 bits
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients.values())
    assert all(buffer.dtype == torch.float32 for name, buffer in net.named_buffers() if "running" in name)


@pytest.mark.parametrize("space", ["irnas", "hinas"])
def test_a_backward_pass_in_bfloat16_needs_no_autocast_of_its_own(space):
    # as in training, where only the forward pass is in it
    found = []
    for enabled in (False, True):
        net = twin(plain(space).float())
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            restored = net(torch.rand(2, 1, 11, 12, generator=torch.Generator().manual_seed(1)))
        restored.float().square().mean().backward()
        found.append(torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None]))

    exact, rounded = found
    assert 0 < (rounded - exact).norm() < 0.3 * exact.norm()


@pytest.mark.parametrize("recompute", ["edge", "cell"])
def test_recomputation_keeps_less_for_the_backward_pass(recompute):
    kept = {}
    for mode in ("none", recompute):
        net, total = twin(plain("hinas", width=4), mode), 0

        def count(tensor):
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            net(torch.rand(2, 1, 24, 24, dtype=torch.float64))
        kept[mode] = total

    assert kept[recompute] < kept["none"] / 2


def test_only_supercells_are_converted():
    net = twin(plain())
    assert not [m for m in net.modules() if type(m) is SuperCell]
    assert [m for m in net.modules() if isinstance(m, FastCell)]
    other = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())
    convert(other, "none")
    assert [type(m) for m in other] == [nn.Conv2d, nn.ReLU]
