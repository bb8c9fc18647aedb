"""Links that lose packets under a transport that does not care."""

from collections.abc import Sequence

from simnet.network.shapes.shape import TOPOLOGY_PATH, Cable
from simnet.network.transport import transport_of
from simnet.scenario import NetworkConfig, ScenarioError
from simnet.scenario.errors import Path
from simnet.scenario.transport import TransportConfig
from simnet.scenario.walk import everything_below


def ignored_loss(network: NetworkConfig, cables: Sequence[Cable]) -> str | None:
    """What to tell about loss that has no effect; None where there is none, or the scenario wants it so.

    `network.model: {loss: none}` says so. A model without a word on loss (`ideal`, or parts without `loss`)
    is worth a warning, which is what this gives.

    Raises:
        ScenarioError: Links lose packets, and the scenario names no model at all: by default that would be
            without any effect, which nobody can want.
    """
    lossy = [cable for cable in cables if cable.link.loss > 0 or (cable.back and cable.back.loss > 0)]
    model = network.model
    if not lossy or transport_of(model).loss is not None:
        return None
    if "model" not in network.model_fields_set:
        path = _where(network)
        raise ScenarioError.at(
            path,
            "loss has no effect under the default transport model, ideal",
            given=lossy[0].link.loss,
            expected="network.model: tcp or {loss: cubic}, which slows messages; {loss: none} for no effect",
        )
    if isinstance(model, TransportConfig) and "loss" in model.model_fields_set:
        return None
    said = f"network.model: {model}" if isinstance(model, str) else "a network.model without `loss`"
    return (
        f"{len(lossy)} of {len(cables)} links lose packets, which has no effect under {said}; "
        "{loss: cubic} slows messages down, {loss: none} keeps this quiet"
    )


def _where(network: NetworkConfig) -> Path:
    """The first place at which the scenario says a loss."""
    for path, value in everything_below(network, ("network",)):
        if path[-1] == "loss" and path[1] != "model" and value:
            return path
    return TOPOLOGY_PATH
