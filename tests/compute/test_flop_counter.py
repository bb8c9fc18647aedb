"""simnet's count of FLOPs is torch's."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from simnet.compute.flops import FlopCounter
from simnet.tasks.models.cnn import CNN
from simnet.tasks.models.gpt import GPT
from simnet.tasks.models.mlp import MLP


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        (MLP(12, 3, [7, 5]), torch.randn(4, 12)),
        (CNN((2, 8, 8), 4, [3, 5]), torch.randn(6, 2, 8, 8)),
        (GPT(19, layers=2, width=8, heads=2, context=6), torch.randint(19, (3, 6))),
    ],
)
def test_as_many_as_torchs_own_counter(model, inputs, grad):
    found = []
    for counter in (FlopCounter(), FlopCounterMode(display=False)):
        with sdpa_kernel(SDPBackend.MATH), counter, torch.set_grad_enabled(grad):
            outputs = model(inputs)
            if grad:
                torch.autograd.grad(outputs.sum(), list(model.parameters()), allow_unused=True)
        found.append(counter.flops if isinstance(counter, FlopCounter) else counter.get_total_flops())
    assert found[0] == found[1] > 0
