"""What messages travel on, as the fluid network sees it."""

from collections.abc import Sequence
from typing import Protocol

from simnet.network.dynamics import Dynamics
from simnet.network.routing import Route


class RoutedResources(Protocol):
    """What messages travel on: a `Topology`, or a `RouteTable`."""

    @property
    def capacities(self) -> Sequence[float]:
        """Bytes per second of each resource."""

    @property
    def fatpipes(self) -> frozenset[int]:
        """Resources that cap each message and are never shared."""

    @property
    def resource_names(self) -> Sequence[str]:
        """What each resource is called."""

    @property
    def dynamics(self) -> Dynamics | None:
        """What changes, if anything does."""

    def route(self, source: str, target: str, flow: int = 0) -> Route:
        """How messages get from one node to another."""

    def without(self, resources: frozenset[int]) -> "RoutedResources":
        """The same with routes that avoid these resources."""
