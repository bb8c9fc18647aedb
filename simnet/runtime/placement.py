"""Which node plays which role on which host."""

from collections.abc import Iterable
from dataclasses import dataclass

from simnet.network import Topology
from simnet.runtime.pipeline_world import PipelineWorld
from simnet.runtime.stage_node import STAGE


@dataclass(frozen=True, slots=True)
class Placed:
    """A node before it is made."""

    name: str
    role: str
    rank: int
    """Position among the nodes of the same role, from 0."""
    host: str
    machine: int
    """Index of its machine in the cost model."""


def placements(
    roles: Iterable[str], topology: Topology, pipeline: PipelineWorld | None
) -> tuple[Placed, ...]:
    """Every node of a method: workers on the workers' hosts, a server on the server's, stages as the
    pipeline says.

    Raises `ValueError` for a role that nobody can play.
    """
    placed: list[Placed] = []
    for role in roles:
        if role == STAGE:
            assert pipeline is not None, "a world for a method with stages has a pipeline"
            placed += [
                Placed(
                    f"replica{replica}.stage{stage}",
                    STAGE,
                    replica * pipeline.stages + stage,
                    pipeline.hosts[replica][stage],
                    pipeline.machines[replica][stage],
                )
                for replica in range(pipeline.replicas)
                for stage in range(pipeline.stages)
            ]
        elif role == "worker":
            placed += [Placed(host, role, rank, host, rank) for rank, host in enumerate(topology.workers)]
        elif role == "server":
            assert topology.server is not None, "the topology was built without the server's host"
            placed.append(Placed(role, role, 0, topology.server, len(topology.workers)))
        else:
            raise ValueError(f"nobody can play the role {role!r}: known roles are worker, server and stage")
    return tuple(placed)


def members_by_role(placed: Iterable[Placed]) -> dict[str, tuple[str, ...]]:
    """The names of the nodes of each role, in rank order."""
    members: dict[str, list[str]] = {}
    for one in placed:
        members.setdefault(one.role, []).append(one.name)
    return {role: tuple(names) for role, names in members.items()}
