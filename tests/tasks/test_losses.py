"""Cross entropy has a backward of its own: against torch's, under vmap, and for all leading dimensions."""

import pytest
import torch
from torch import Tensor
from torch.func import grad, vmap
from torch.nn import functional as F

from simnet.tasks.losses import cross_entropy


@pytest.mark.parametrize("leading", [(), (5,), (2, 3, 4)])
def test_cross_entropy_is_torchs(leading: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    outputs = (4 * torch.randn(*leading, 7, dtype=torch.float64)).requires_grad_()
    targets, weights = torch.randint(7, leading), torch.rand(leading, dtype=torch.float64)
    losses = cross_entropy(outputs, targets)
    expected = F.cross_entropy(outputs.view(-1, 7), targets.flatten(), reduction="none").view(leading)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=1e-12)
    (ours,) = torch.autograd.grad((losses * weights).sum(), outputs)
    (theirs,) = torch.autograd.grad((expected * weights).sum(), outputs)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_large_logits_stay_finite() -> None:
    outputs = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    losses = cross_entropy(outputs, torch.tensor([1]))
    assert losses.item() == 1e4
    assert torch.equal(torch.autograd.grad(losses.sum(), outputs)[0], torch.tensor([[1.0, -1.0, 0.0]]))


def test_cross_entropy_under_vmap() -> None:
    torch.manual_seed(0)
    outputs, targets = torch.randn(5, 3, 7, dtype=torch.float64), torch.randint(7, (5, 3))

    def mean(one: Tensor, wanted: Tensor) -> Tensor:
        return cross_entropy(one, wanted).mean()

    expected = vmap(grad(F.cross_entropy))(outputs, targets)
    torch.testing.assert_close(vmap(grad(mean))(outputs, targets), expected, rtol=1e-12, atol=1e-12)


def test_a_second_derivative_is_an_error_and_not_a_wrong_number() -> None:
    outputs = torch.randn(3, 4, requires_grad=True)
    (first,) = torch.autograd.grad(
        cross_entropy(outputs, torch.tensor([0, 1, 2])).sum(), outputs, create_graph=True
    )
    with pytest.raises(RuntimeError):
        torch.autograd.grad(first.square().sum(), outputs)
