"""Device profiles: what a machine can do at most, and what share of it training gets.

`flops` is the dense peak of the precision that the device would train in, from the maker's data sheet or
reckoned from its units. `achieved` is the fraction that a training step gets (model FLOP utilisation,
Chowdhery et al. 2022): reported where a report is named, otherwise a judgement, and always the first thing to
replace by one's own measurement (`device: {flops: ..., achieved: ...}` in the scenario).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from simnet.scenario import DeviceConfig, choose

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

    @property
    def rate(self) -> float:
        """FLOP/s that training gets."""
        return self.flops * self.achieved


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
    if isinstance(device, str):
        return choose(device, DEVICES, path, "device")
    return DeviceProfile(
        name="custom",
        flops=device.flops,
        achieved=device.achieved,
        memory=device.memory,
        precision="as the scenario says",
        source="the scenario",
        achieved_source="the scenario",
    )
