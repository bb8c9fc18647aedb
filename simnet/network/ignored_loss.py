"""Links that lose packets under a transport that does not care."""

from collections.abc import Sequence

from simnet.network.shapes.shape import TOPOLOGY_PATH, Cable
from simnet.network.transport import transport_of
from simnet.scenario import NetworkConfig, Scenario, ScenarioError
from simnet.scenario.errors import Path
from simnet.scenario.link_faults import LinkLossy
from simnet.scenario.transport import TransportConfig
from simnet.scenario.walk import everything_below

_HEEDED = "network.model: tcp or {loss: cubic}, which slows messages; {loss: none} for no effect"


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
            expected=_HEEDED,
        )
    if isinstance(model, TransportConfig) and "loss" in model.model_fields_set:
        return None
    said = f"network.model: {model}" if isinstance(model, str) else "a network.model without `loss`"
    return (
        f"{len(lossy)} of {len(cables)} links lose packets, which has no effect under {said}; "
        "{loss: cubic} slows messages down, {loss: none} keeps this quiet"
    )


def check_heeded(scenario: Scenario) -> None:
    """Raise `ScenarioError` for a link fault that has no effect under the scenario's transport.

    What is meant to go wrong and does not would be found out by nobody. For lossy links
    `network.model: {loss: none}` says that it is wanted so.
    """
    model = scenario.network.model
    if scenario.faults.links and transport_of(model).serialised:
        raise ScenarioError.at(
            ("faults", "links", 0),
            "links do not change under this transport model: a message's time is known when it starts",
            given=model,
            expected="another network.model, such as ideal or tcp",
        )
    if transport_of(model).loss is not None:
        return
    if isinstance(model, TransportConfig) and "loss" in model.model_fields_set:
        return
    for index, fault in enumerate(scenario.faults.links):
        if isinstance(fault, LinkLossy):
            raise ScenarioError.at(
                ("faults", "links", index, "loss"),
                "loss has no effect under this transport model",
                given=fault.loss,
                expected=_HEEDED,
            )


def _where(network: NetworkConfig) -> Path:
    """The first place at which the scenario says a loss."""
    for path, value in everything_below(network, ("network",)):
        if path[-1] == "loss" and path[1] != "model" and value:
            return path
    return TOPOLOGY_PATH
