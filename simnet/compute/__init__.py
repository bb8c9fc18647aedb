"""Compute: what machines can do, what work costs in seconds, and the engine that does the work."""

from simnet.compute.cost import CostModel, Machine, Work
from simnet.compute.devices import DEVICES, DeviceProfile, resolve_device
from simnet.compute.engine import Engine
from simnet.compute.flops import count_gradient_flops
from simnet.compute.jobs import (
    GradientJob,
    GradientResult,
    Job,
    LossJob,
    StepJob,
    StepResult,
    TrainJob,
    TrainResult,
)
from simnet.compute.layout import Layout
from simnet.compute.shard import Shard

__all__ = [
    "DEVICES",
    "CostModel",
    "DeviceProfile",
    "Engine",
    "GradientJob",
    "GradientResult",
    "Job",
    "Layout",
    "LossJob",
    "Machine",
    "Shard",
    "StepJob",
    "StepResult",
    "TrainJob",
    "TrainResult",
    "Work",
    "count_gradient_flops",
    "resolve_device",
]
