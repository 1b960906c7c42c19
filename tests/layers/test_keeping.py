"""What was put back is what it was."""

import pytest
import torch

from nasir.layers.keeping import put_back


def test_tensors_are_put_back_to_the_bit_after_an_error_too():
    tensors = [torch.tensor([0.1, -0.0, 1e-40]), torch.tensor(7)]
    kept = [tensor.clone() for tensor in tensors]
    with pytest.raises(KeyError, match="stop"), put_back(tensors):
        tensors[0].add_(1).sub_(1)
        tensors[1].add_(1)
        raise KeyError("stop")
    assert all(torch.equal(a, b) for a, b in zip(tensors, kept, strict=True))
    assert torch.equal(torch.signbit(tensors[0]), torch.signbit(kept[0]))


def test_a_pending_backward_pass_does_not_notice():
    # d(w^2)/dw = 2w = 6 at w = 3, though w was 5 for a while between the two passes
    w = torch.tensor(3.0, requires_grad=True)
    loss = w.square()
    with put_back([w]):
        w.data.fill_(5.0)
    loss.backward()
    assert (w.item(), w.grad.item()) == (3.0, 6.0)
