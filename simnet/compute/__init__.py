"""Compute: what machines can do, what work costs in seconds, and the engine that does the work."""

from simnet.compute.cost import CostModel, Machine, Work
from simnet.compute.demand import Demand
from simnet.compute.devices import DEVICES, DeviceProfile, resolve_device
from simnet.compute.engine import Engine
from simnet.compute.flops import ForwardBackward, count_demand, count_flops, count_gradient_flops
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
from simnet.compute.memory_fit import Footprint, check_memory
from simnet.compute.shard import Shard
from simnet.compute.timing import TimingEngine

__all__ = [
    "DEVICES",
    "CostModel",
    "Demand",
    "DeviceProfile",
    "Engine",
    "Footprint",
    "ForwardBackward",
    "GradientJob",
    "GradientResult",
    "Job",
    "Layout",
    "LossJob",
    "Machine",
    "Shard",
    "StepJob",
    "StepResult",
    "TimingEngine",
    "TrainJob",
    "TrainResult",
    "Work",
    "check_memory",
    "count_demand",
    "count_flops",
    "count_gradient_flops",
    "resolve_device",
]
