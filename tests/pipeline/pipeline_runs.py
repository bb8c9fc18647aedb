"""A finished run of a pipeline as tests look at it, and a plain torch loop beside it."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor

from simnet.plan import Plan
from simnet.results import Recorder
from simnet.runtime.simulated import Outcome, SimulatedRun
from simnet.runtime.simulated_stage import SimulatedStage

GPT = {
    "name": "language-model",
    "model": {"name": "gpt", "layers": 2, "width": 16, "heads": 2, "context": 16, "tied": False},
    "batch_size": 2,
    "optimizer": {"name": "adamw", "lr": 0.003},
}
NO_NETWORK = {"network.link": {"bandwidth": "1e9 Tbps", "latency": "0 s"}}
"""Links that take no time, as near as makes no difference."""
EVEN = {"pipeline.charge_as": {"samples": 1, "width": 1, "forward": "1 s", "backward": "2 s"}}
"""Stages whose passes take 1 s and 2 s, whatever is in them."""


@dataclass
class Run:
    """A finished run of one pipeline."""

    plan: Plan
    simulated: SimulatedRun
    outcome: Outcome
    recorder: Recorder

    @property
    def stages(self) -> list[SimulatedStage]:
        """All stages, replica by replica."""
        return [node for node in self.simulated.nodes.values() if isinstance(node, SimulatedStage)]

    def model(self, replica: int = 0) -> Tensor:
        """Flat parameters of one replica's whole model."""
        parts = [part for node in self.stages if node.replica == replica for part in node.model_parts()]
        return torch.cat([values for _, values in sorted(parts, key=lambda part: part[0])])

    def metrics(self, name: str) -> pd.DataFrame:
        """Rows of one metric."""
        table = self.recorder.tables()["metrics"].to_pandas()
        return table[table["name"] == name]

    def spans(self) -> pd.DataFrame:
        """What nodes computed when."""
        table = self.recorder.tables()["spans"].to_pandas()
        return table[table["kind"] == "compute"]


def flat(model: torch.nn.Module) -> Tensor:
    """A model's parameters as one vector."""
    return torch.nn.utils.parameters_to_vector(model.parameters()).detach()


def plain_training(
    plan: Plan,
    steps: int,
    microbatches: int,
    optimizer: Callable[..., torch.optim.Optimizer],
    clip: float = 0,
) -> Tensor:
    """One process without a pipeline: every step the mean gradient of all replicas' microbatches."""
    task = plan.world.task
    model = task.make_model()
    made = optimizer(model.parameters())
    for step in range(steps):
        made.zero_grad()
        for replica in range(task.workers):
            for microbatch in range(microbatches):
                inputs, targets = task.batches(replica, step * microbatches + microbatch, 1)
                loss = task.loss(model(inputs[0]), targets[0]).mean()
                (loss / (microbatches * task.workers)).backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        made.step()
    return flat(model)
