"""What a model's vector counts as: its layers, and its bytes on the wire."""

from collections.abc import Sequence
from itertools import accumulate, groupby, pairwise

from simnet.scenario import ChargeAs, ScenarioError
from simnet.tasks.synthetic import SyntheticTask
from simnet.tasks.task import Task

STAND_IN_BYTES = 4.0
"""What an element of a synthetic task's vector counts as before it is charged, as one of float32 would."""


def byte_ratio(task: Task, parameters: int, element_bytes: float, charge_as: ChargeAs | None) -> float:
    """Charged bytes per byte that a tensor or an encoded message holds.

    With `charge_as` it is `P b / (d e)`: P pretended parameters of b bytes on the wire, for d parameters that
    are trained, of e bytes each. So a codec saves the same fraction of the charged bytes as of its own.
    """
    if isinstance(task, SyntheticTask):
        return task.bytes_per_parameter / STAND_IN_BYTES
    if charge_as is None:
        return 1.0
    on_the_wire = charge_as.bytes_per_parameter or element_bytes
    return (charge_as.parameters / parameters) * (on_the_wire / element_bytes)


def even_layers(parameters: int, layers: int) -> tuple[slice, ...]:
    """So many layers that differ by at most one parameter, as `tensor_split` cuts a vector."""
    size, rest = divmod(parameters, layers)
    ends = accumulate((size + (index < rest) for index in range(layers)), initial=0)
    return tuple(slice(start, end) for start, end in pairwise(ends))


def named_layers(names: Sequence[str], sizes: Sequence[int]) -> tuple[slice, ...]:
    """The layers of a model whose parameters lie in this order: those that follow each other in one module.

    A module is named by what comes before the parameter's own name, up to the first number: `blocks.3` of
    `blocks.3.attention.weight`, `head` of `head.weight`.
    """
    layers, start = [], 0
    for _, group in groupby(zip(map(_layer_of, names), sizes, strict=True), key=lambda pair: pair[0]):
        end = start + sum(size for _, size in group)
        layers.append(slice(start, end))
        start = end
    return tuple(layers)


def check_layers(charge_as: ChargeAs | None, parameters: int) -> int | None:
    """The layers that the vector of the trained model counts as; None: its own.

    Raises `ScenarioError` where it has fewer parameters than layers to send them in.
    """
    if charge_as is None or charge_as.layers is None:
        return None
    if charge_as.layers > parameters:
        raise ScenarioError.at(
            ("task", "charge_as", "layers"),
            "more layers than the model that is trained has parameters to send in them",
            given=charge_as.layers,
            expected=f"at most {parameters}",
        )
    return charge_as.layers


def _layer_of(name: str) -> str:
    parts = name.split(".")[:-1]
    for index, part in enumerate(parts):
        if part.isdigit():
            return ".".join(parts[: index + 1])
    return parts[0] if parts else name
