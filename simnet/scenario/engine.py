"""What a scenario says about the computing itself (`engine`): nothing in it is part of the simulation."""

from typing import Annotated, Literal

from pydantic import Field

from simnet.scenario.fields import Positive, Section
from simnet.units import Bytes


class EngineConfig(Section):
    """How torch does the workers' work. The simulated clock knows nothing of it; rounding may change."""

    mode: Literal["auto", "stacked", "vmap", "loop"] = Field(
        "auto",
        description="How workers run together: stacked (the model's own way), vmap (torch.func.vmap), loop "
        "(one after the other); auto chooses by the model, the device and the size.",
    )
    dtype: Literal["float32", "bfloat16", "float64"] = Field(
        "float32",
        description="Numbers of the model and the data; bfloat16: autocast, parameters stay float32.",
    )
    compile: bool = Field(
        False, description="Whether torch.compile translates the model; on a CPU it needs a C++ compiler."
    )
    memory: Annotated[Bytes, Positive] | None = Field(
        None,
        description="What one joint computation may take on a device, such as 1 GiB; larger ones are split. "
        "256 MiB on a CPU and 8 GiB on a GPU if not given.",
    )
    idle: Literal["device", "host"] = Field(
        "device",
        description="Where parameters and optimizer states wait between computations: on the device, or in "
        "the host's memory, where a GPU's does not hold all workers.",
    )
