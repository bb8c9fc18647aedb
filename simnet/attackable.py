"""Which attacks mean something against which methods."""

from collections.abc import Mapping

from simnet.algorithms.ad_psgd import ADPSGD
from simnet.algorithms.allreduce import AllReduce
from simnet.algorithms.d_psgd import DPSGD
from simnet.algorithms.diloco import DiLoCo
from simnet.algorithms.fedavg import FedAvg
from simnet.algorithms.fedbuff import FedBuff
from simnet.algorithms.gossip import Gossip
from simnet.algorithms.local_sgd import LocalSGD
from simnet.algorithms.robust_allreduce import RobustAllReduce
from simnet.algorithms.robust_gossip import RobustGossip
from simnet.faults.attacks import Attack, Dissensus, Dropping, Equivocation
from simnet.faults.byzantine import Byzantine, strikes_values
from simnet.pipeline.method import PipelineMethod
from simnet.runtime.node import Algorithm
from simnet.scenario import ScenarioError

_COLLECTIVE = (AllReduce, LocalSGD, DiLoCo, RobustAllReduce)
_SERVED = (FedAvg, FedBuff)
_PAIRS = (Gossip, ADPSGD)
_NEIGHBOURS = (DPSGD, RobustGossip)


def objection(method: Algorithm, attack: Attack, timing_only: bool) -> str | None:
    """Why this attack means nothing against this method; None where it does.

    Nothing is known of methods that simnet does not ship: every attack passes.
    """
    if isinstance(method, PipelineMethod):
        return "stages of a pipeline send activations, which no attack here is about"
    if timing_only and strikes_values(attack):
        return "a synthetic task has no values to attack; delay, slow-loris, dropping and free-rider remain"
    if isinstance(attack, Equivocation) and isinstance(method, _SERVED):
        return "a client has one receiver, the server: it cannot tell two of them different things"
    if isinstance(attack, Dissensus) and isinstance(method, _COLLECTIVE + _SERVED + _PAIRS):
        return "it undoes the averaging with neighbours, which this method has not"
    if isinstance(attack, Dropping) and (
        isinstance(method, _COLLECTIVE + _PAIRS + _NEIGHBOURS)
        or (isinstance(method, FedAvg) and method.deadline is None)
    ):
        return (
            "this method waits for what is dropped for ever: it needs a deadline, as fedavg has, or a server "
            "that waits for nobody, as in fedbuff"
        )
    return None


def check_attacks(
    method: Algorithm, nodes: Mapping[str, Byzantine], timing_only: bool, path: tuple[str | int, ...]
) -> None:
    """Raise :class:`~simnet.scenario.ScenarioError` for an attack that means nothing against `method`."""
    for node in nodes.values():
        why = objection(method, node.attack, timing_only)
        if why is not None:
            raise ScenarioError.at(
                (*node.path, "attack"),
                f"not against {type(method).__name__} (algorithm {path[-1]}): {why}",
                given=node.attack.name,
                expected="another attack, or another method",
            )
