"""Mimic: all Byzantine nodes copy one honest node."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.faults.attacks.attack import InformedAttack, View


class Mimic(InformedAttack):
    """The vector of one honest node, so that what is rare in its data counts too much.

    Karimireddy, He and Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing" (ICLR
    2022). Nothing that is sent is wrong in itself. Without `worker`, the target is that of
    `mimic_target`, over the warm-up rounds where the view has them, else over the present round.
    """

    name: ClassVar[str] = "mimic"

    worker: int | None = Field(
        default=None, ge=0, description="Place of the copied one among the vectors seen; chosen if not given."
    )

    def craft(self, view: View) -> Tensor:
        """The target's vector; `ValueError` for a `worker` beyond those that are seen."""
        known = view.known
        if self.worker is not None:
            if self.worker >= len(known):
                raise ValueError(f"mimic copies worker {self.worker}, but sees only {len(known)} vectors")
            return known[self.worker]
        rounds = view.warm_up
        if rounds is None or rounds.shape[1] != len(known):
            rounds = known.unsqueeze(0)
        return known[mimic_target(rounds)]


def mimic_target(rounds: Tensor) -> int:
    """Whom to copy, given the honest vectors of some rounds, `[t, m, d]`: `argmax_i |sum_t z x_i^t|`.

    `z` is the direction in which the vectors differ most around their mean over all rounds (the paper finds
    it by Oja's rule as rounds go by; here it is exact, from the inner products of all `t m` vectors).
    """
    t, m, d = rounds.shape
    vectors = rounds.reshape(t * m, d).double()
    centred = vectors - vectors.mean(dim=0)
    direction = torch.linalg.eigh(centred @ centred.T).eigenvectors[:, -1] @ centred
    along = (vectors @ direction).reshape(t, m).sum(dim=0)
    return int(along.abs().argmax())
