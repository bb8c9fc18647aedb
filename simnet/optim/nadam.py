"""NAdam: Adam that looks ahead along its momentum."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.optim.adam import Decay
from simnet.optim.optimizer import Optimizer, State


class NAdam(Optimizer):
    """NAdam (Dozat, 2016): Adam whose step mixes the gradient and the momentum of the next step.

    `x <- x - lr [(1 - mu_t) / (1 - P_t) g + mu_{t+1} / (1 - P_{t+1}) m] / (sqrt(v') + eps)`, with
    `mu_t = b1 (1 - 0.96^(t psi) / 2)`, `P_t = mu_1 ... mu_t`, and `m`, `v'` as in Adam; `psi` is
    `momentum_decay`. Weight decay is L2, or, with `decoupled_weight_decay`, that of AdamW. The form of
    `torch.optim.NAdam`; decoupled and with `b1 = 0.99` it is what asynchronous pipelines take (Ajanthan et
    al., "Nesterov method for asynchronous pipeline parallel optimization", 2025).
    """

    name: ClassVar[str] = "nadam"
    moments: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")

    lr: float = Field(default=2e-3, gt=0, allow_inf_nan=False, description="Learning rate.")
    betas: tuple[Decay, Decay] = Field(default=(0.9, 0.999), description="Decay of the two moments.")
    eps: float = Field(default=1e-8, gt=0, allow_inf_nan=False, description="Floor of the denominator.")
    momentum_decay: float = Field(
        default=4e-3, ge=0, allow_inf_nan=False, description="How fast the momentum warms up (psi)."
    )
    decoupled_weight_decay: bool = Field(
        default=False, description="Decay the parameters, times the learning rate, and not the gradient."
    )

    def init(self, params: Tensor) -> State:
        """Zero moments, the product of the momenta so far (1, one per row) and a step count per row."""
        state = super().init(params)
        exact = torch.promote_types(params.dtype, torch.float32)
        state["momentum_product"] = torch.ones(params.shape[:-1], dtype=exact, device=params.device)
        return state

    def update_(self, params: Tensor, gradient: Tensor, state: State) -> None:
        """Take one step in place; `gradient` is used as scratch."""
        rate = self.learning_rate(state["step"], params.dtype)
        self.clip_(gradient)
        if self.weight_decay > 0:
            if self.decoupled_weight_decay:
                params.mul_(1 - rate * self.weight_decay)
            else:
                gradient.add_(params, alpha=self.weight_decay)
        first, second, product = state["first_moment"], state["second_moment"], state["momentum_product"]
        beta1, beta2 = self.betas
        state["step"] += 1
        count = state["step"].double()
        product *= self._momentum(count)
        done, ahead = product.double(), self._momentum(count + 1)
        # sqrt(second / correction) + eps = (sqrt(second) + eps sqrt(correction)) / sqrt(correction)
        root = torch.sqrt(1 - beta2**count)
        fresh = root * (1 - self._momentum(count)) / (1 - done)
        kept = root * ahead / (1 - done * ahead)
        if isinstance(rate, Tensor):
            fresh, kept, rate = fresh * rate.double().squeeze(-1), kept * rate.double().squeeze(-1), 1.0
        dtype = params.dtype
        first.lerp_(gradient, 1 - beta1)
        second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        denominator = torch.sqrt(second).add_((self.eps * root).to(dtype).unsqueeze(-1))
        gradient.mul_(fresh.to(dtype).unsqueeze(-1)).addcmul_(first, kept.to(dtype).unsqueeze(-1))
        params.addcdiv_(gradient, denominator, value=-rate)

    def _momentum(self, count: Tensor) -> Tensor:
        """`mu_t` for each row's step `count`, counted from 1."""
        momentum: Tensor = self.betas[0] * (1 - 0.5 * 0.96 ** (count * self.momentum_decay))
        return momentum

    @property
    def flops_per_parameter(self) -> float:
        """3 and 4 for the moments, 2 for the denominator, 3 for the mixture, then divide and subtract."""
        return 14.0 + self.common_flops
