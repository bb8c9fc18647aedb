"""The shapes that a network can have: which nodes there are, and which cables between them.

Each kind of topology is a model of its options, in the registry `topologies`; :meth:`TopologyKind.shape`
turns it into a `Shape`, which knows nothing of workers or routes. Graphs from networkx are in `generators`.
"""

from simnet.network.shapes.access import AccessConfig
from simnet.network.shapes.explicit import Explicit, ExplicitLink, NodeConfig
from simnet.network.shapes.file import GraphFile
from simnet.network.shapes.hierarchical import Dumbbell, FatTree, Tree
from simnet.network.shapes.links import PartialLink
from simnet.network.shapes.plain import Exponential, FullMesh, Hypercube, Ring, Star, Torus
from simnet.network.shapes.random_graphs import (
    BarabasiAlbert,
    ErdosRenyi,
    RandomGeometric,
    SmallWorld,
    Waxman,
)
from simnet.network.shapes.regions import Regions, SiteConfig, WanLink
from simnet.network.shapes.shape import TOPOLOGY_PATH, Cable, Setting, Shape, TopologyKind

topologies: dict[str, type[TopologyKind]] = {
    "star": Star,
    "full-mesh": FullMesh,
    "ring": Ring,
    "torus": Torus,
    "hypercube": Hypercube,
    "exponential": Exponential,
    "tree": Tree,
    "fat-tree": FatTree,
    "dumbbell": Dumbbell,
    "erdos-renyi": ErdosRenyi,
    "barabasi-albert": BarabasiAlbert,
    "small-world": SmallWorld,
    "random-geometric": RandomGeometric,
    "waxman": Waxman,
    "regions": Regions,
    "file": GraphFile,
    "explicit": Explicit,
}
"""The kinds that have a name of their own. Beside them, every generator of networkx can be named."""

__all__ = [
    "TOPOLOGY_PATH",
    "AccessConfig",
    "Cable",
    "ExplicitLink",
    "NodeConfig",
    "PartialLink",
    "Setting",
    "Shape",
    "SiteConfig",
    "TopologyKind",
    "WanLink",
    "topologies",
]
