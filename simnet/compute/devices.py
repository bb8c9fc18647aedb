"""Device profiles: what a machine can do at most, and what share of it training gets.

`flops` is the dense peak of the precision that the device would train in, from the maker's data sheet or
reckoned from its units. `achieved` is the fraction that a training step gets (model FLOP utilisation,
Chowdhery et al. 2022): reported where a report is named, otherwise a judgement, and always the first thing to
replace by one's own measurement: `simnet calibrate` writes a profile of this machine to a file, which
scenarios name as `device: ./my-machine.yaml`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from simnet.compute.demand import Demand
from simnet.scenario import DeviceConfig, RunningCosts, ScenarioError, choose

GB = 10**9
GIB = 2**30
TERA = 1e12


@dataclass(frozen=True)
class DeviceProfile:
    """One kind of machine."""

    name: str
    flops: float
    """Dense peak in FLOP/s."""
    achieved: float
    """Fraction of the peak that a training step gets, above 0 and up to 1."""
    memory: float | None
    """Memory in bytes, where known."""
    precision: str
    """What the peak is the peak of."""
    source: str
    """Where the peak and the memory come from."""
    achieved_source: str
    """Where the achieved fraction comes from."""
    memory_bandwidth: float = inf
    """Bytes per second that operations read and write; infinite where only arithmetic is charged."""
    pooling_bandwidth: float = inf
    """The same for pooling."""
    operation_overhead: float = 0.0
    """Seconds that each operation takes besides."""
    convolution_overhead: float = 0.0
    """The same for a convolution, instead of `operation_overhead`."""
    attention_overhead: float = 0.0
    """The same for a fused attention, instead of `operation_overhead`."""
    costs: RunningCosts | None = None
    """What it costs. No profile with a name says so: prices differ by place and day."""

    @property
    def rate(self) -> float:
        """FLOP/s that training gets."""
        return self.flops * self.achieved

    @property
    def charges_traffic(self) -> bool:
        """Whether more than arithmetic takes time on it, so that bytes and operations need to be known."""
        return self.seconds(Demand(0.0, 1.0, 1.0, 1.0, 1.0, 1.0)) > 0

    def seconds(self, demand: Demand, speed: float = 1.0) -> float:
        """Seconds that some work takes: arithmetic, memory traffic and overheads one after the other."""
        traffic = (
            demand.bytes / self.memory_bandwidth
            + demand.pooled_bytes / self.pooling_bandwidth
            + demand.operations * self.operation_overhead
            + demand.convolutions * self.convolution_overhead
            + demand.attentions * self.attention_overhead
        )
        return demand.flops / (self.rate * speed) + traffic / speed


DEVICES: dict[str, DeviceProfile] = {
    profile.name: profile
    for profile in (
        DeviceProfile(
            name="t4",
            flops=65 * TERA,
            achieved=0.25,
            memory=16 * GB,
            precision="fp16, fp32 accumulation",
            source="NVIDIA T4 data sheet (2019)",
            achieved_source="judgement: 70 W and 320 GB/s keep it further from its peak than larger cards",
        ),
        DeviceProfile(
            name="l4",
            flops=121 * TERA,
            achieved=0.30,
            memory=24 * GB,
            precision="bf16, fp32 accumulation",
            source="NVIDIA L4 data sheet (2023): 242 TFLOP/s with sparsity, half of it dense",
            achieved_source="judgement: 72 W and 300 GB/s keep it further from its peak than larger cards",
        ),
        DeviceProfile(
            name="rtx3090",
            flops=71 * TERA,
            achieved=0.40,
            memory=24 * GB,
            precision="bf16, fp32 accumulation (half rate on GeForce)",
            source="NVIDIA Ampere GA102 white paper (2020)",
            achieved_source="judgement: as the a100; its halved tensor rate leaves it less bound by memory",
        ),
        DeviceProfile(
            name="rtx4090",
            flops=165.2 * TERA,
            achieved=0.40,
            memory=24 * GB,
            precision="bf16, fp32 accumulation (half rate on GeForce)",
            source="NVIDIA Ada GPU architecture white paper (2022)",
            achieved_source="judgement: as the a100; its halved tensor rate leaves it less bound by memory",
        ),
        DeviceProfile(
            name="a100",
            flops=312 * TERA,
            achieved=0.40,
            memory=80 * GB,
            precision="bf16, fp32 accumulation",
            source="NVIDIA A100 80GB data sheet (2021)",
            achieved_source="judgement, on the cautious side of what is reported for 1B+ language models",
        ),
        DeviceProfile(
            name="h100",
            flops=989.4 * TERA,
            achieved=0.40,
            memory=80 * GB,
            precision="bf16, fp32 accumulation",
            source="NVIDIA H100 SXM data sheet (2023): 1979 TFLOP/s with sparsity, half of it dense",
            achieved_source="38 to 43 % in training Llama 3 405B (Llama team, 2024, table 4)",
        ),
        DeviceProfile(
            name="h200",
            flops=989.4 * TERA,
            achieved=0.40,
            memory=141 * GB,
            precision="bf16, fp32 accumulation",
            source="NVIDIA H200 data sheet (2024): 1979 TFLOP/s with sparsity, half of it dense",
            achieved_source="judgement: the h100's, whose chip it has",
        ),
        DeviceProfile(
            name="cpu",
            flops=8 * 3.5e9 * 32,
            achieved=0.40,
            memory=32 * GIB,
            precision="fp32",
            source="reckoned: a desktop machine, "
            "8 cores x 3.5 GHz x 32 FLOP per cycle (two 256-bit FMA units)",
            achieved_source="judgement: large matrix products reach 0.7 and more, training steps do not",
        ),
        DeviceProfile(
            name="phone",
            flops=3.2e9 * 32 + 4 * 2.8e9 * 16,
            achieved=0.20,
            memory=8 * GIB,
            precision="fp32, on the processor's large cores",
            source="reckoned: one core at 3.2 GHz with four 128-bit FMA units and four at 2.8 GHz with two, "
            "as in phones of 2023",
            achieved_source="judgement: a phone lowers its clock after seconds of such work",
        ),
    )
}
"""The profiles that a scenario can name."""

NO_DEVICE = DeviceProfile(
    name="none",
    flops=inf,
    achieved=1.0,
    memory=None,
    precision="none",
    source="a synthetic task, whose step_seconds are all that is computed",
    achieved_source="nothing is counted in FLOPs",
)
"""Where a synthetic task's workers name no device: what methods charge in FLOPs takes no time."""


def resolve_device(device: str | DeviceConfig, path: Sequence[str | int]) -> DeviceProfile:
    """The profile of a scenario's `device:`: a name, or a description in place.

    Raises `ScenarioError` at `path` for a name that is not known, with the nearest one.
    """
    if isinstance(device, DeviceConfig):
        return _described(device)
    if device.endswith((".yaml", ".yml")):
        raise ScenarioError.at(
            path,
            "a device profile's file is read where the scenario is read from YAML",
            given=device,
            expected="simnet.scenario.read_device(file) in a scenario that is made in Python",
        )
    return choose(device, DEVICES, path, "device")


def _described(device: DeviceConfig) -> DeviceProfile:
    bandwidth = inf if device.memory_bandwidth is None else device.memory_bandwidth
    overhead = 0.0 if device.operation_overhead is None else device.operation_overhead
    return DeviceProfile(
        name="custom",
        flops=device.flops,
        achieved=device.achieved,
        memory=device.memory,
        precision="as the scenario says",
        source=device.description or "the scenario",
        achieved_source=device.description or "the scenario",
        memory_bandwidth=bandwidth,
        pooling_bandwidth=bandwidth if device.pooling_bandwidth is None else device.pooling_bandwidth,
        operation_overhead=overhead,
        convolution_overhead=(
            overhead if device.convolution_overhead is None else device.convolution_overhead
        ),
        attention_overhead=overhead if device.attention_overhead is None else device.attention_overhead,
        costs=device.costs,
    )
