"""A batch in parts gives the gradient of the whole; a loss that is not finite is refused."""

import copy

import pytest
import torch
from torch import nn

from nasir.training.gradients import finite, forward_in_parts, gradients
from nasir.training.losses import restoration_loss


def plain() -> nn.Module:
    """A network without batch normalisation, float64."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 5, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(5, 5, 3, padding=1),
        nn.Tanh(),
        nn.Conv2d(5, 1, 3, padding=1),
    ).double()


def normalised() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1), nn.BatchNorm2d(1)
    ).double()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    clean = torch.rand(8, 1, 14, 14, generator=generator, dtype=torch.float64)
    return clean + 0.2 * torch.randn(clean.shape, generator=generator, dtype=torch.float64), clean


def slopes(network: nn.Module, parts: int) -> list[torch.Tensor]:
    noisy, clean = batch()
    loss = restoration_loss(forward_in_parts(network, noisy, parts), clean, ssim_weight=0.5)
    return gradients(loss, list(network.parameters()))


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_give_the_gradient_of_the_whole_batch_where_nothing_is_normalised(parts):
    network = plain()
    noisy, clean = batch()
    expected = torch.autograd.grad(restoration_loss(network(noisy), clean, 0.5), list(network.parameters()))

    for found, one in zip(slopes(network, parts), expected, strict=True):
        torch.testing.assert_close(found, one, rtol=1e-12, atol=1e-14)


def test_the_mean_of_the_parts_losses_would_have_another_gradient():
    # why the loss is taken of the whole batch: the logarithm of a mean is not the mean of logarithms
    network = plain()
    pairs = list(zip(*(images.chunk(4) for images in batch()), strict=True))
    mean = sum(restoration_loss(network(noisy), clean, 0.5) for noisy, clean in pairs) / 4
    wrong = torch.autograd.grad(mean, list(network.parameters()))
    assert any((a - b).norm() > 1e-3 * b.norm() for a, b in zip(wrong, slopes(network, 1), strict=True))


def test_in_evaluation_mode_parts_are_exact_with_batch_normalisation_too():
    network = normalised().eval()
    for found, one in zip(slopes(network, 4), slopes(network, 1), strict=True):
        torch.testing.assert_close(found, one, rtol=1e-12, atol=1e-14)


def test_in_training_each_part_is_normalised_by_itself_and_moves_the_statistics_once():
    network = normalised()
    twin = copy.deepcopy(network)
    noisy, clean = batch()

    found = slopes(network, 4)  # the backward pass computes three parts a second time
    outputs = torch.cat([twin(part) for part in noisy.chunk(4)])
    expected = torch.autograd.grad(restoration_loss(outputs, clean, 0.5), list(twin.parameters()))

    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert network[1].num_batches_tracked == 4
    assert all(torch.equal(a, b) for a, b in zip(network.buffers(), twin.buffers(), strict=True))


def test_only_one_part_is_kept_for_the_backward_pass():
    network, (noisy, _) = plain(), batch()

    def kept(parts: int) -> int:
        sizes: list[int] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
            forward_in_parts(network, noisy, parts)
        return sum(sizes)

    inputs_and_weights = noisy.numel() + sum(weight.numel() for weight in network.parameters())
    assert kept(4) < kept(1) / 4 + inputs_and_weights < kept(1) / 3


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(ValueError, match=r"a multiple of its parts \(3\), got 8 patches"):
        forward_in_parts(plain(), batch()[0], 3)


def test_a_parameter_that_the_loss_does_not_depend_on_has_no_gradient():
    used, unused = (torch.ones(1, requires_grad=True) for _ in range(2))
    assert [g if g is None else g.item() for g in gradients((3 * used).sum(), [used, unused])] == [3.0, None]


@pytest.mark.parametrize(("value", "section"), [("nan", "search"), ("inf", "retrain")])
def test_a_loss_that_is_not_finite_is_named_with_its_place_and_the_rate_to_lower(value, section):
    assert finite(torch.tensor(0.5), "step 3", section) == 0.5
    with pytest.raises(FloatingPointError, match=rf"got {value} at step 3; lower {section}\.lr_max"):
        finite(torch.tensor(float(value)), "step 3", section)
