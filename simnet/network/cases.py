"""Flow cases: small networks with flows, as a file that any simulator can read (`simnet-flow-cases/1`).

A case names nodes, links and flows with their routes and sizes, capacities that change at given times, and
flows that start after others. `run_case` gives the finish times under a transport; `simgrid_export` writes a
case for SimGrid. The schema is described in the documentation of `simnet transfers`.
"""

import json
from collections.abc import Generator, Mapping, Sequence
from itertools import pairwise
from math import fsum
from pathlib import Path
from typing import Annotated, Any, Literal

import simpy
from pydantic import ConfigDict, Field, field_validator

from simnet.network.backends import Backend
from simnet.network.fluid import FluidNetwork
from simnet.network.routing import Route, RouteTable
from simnet.network.transport import IDEAL, TRANSPORTS, Transport
from simnet.scenario import ScenarioError, validated
from simnet.scenario.errors import nearest
from simnet.scenario.fields import Number, Section

SCHEMA = "simnet-flow-cases/1"
MODELS: dict[str, Transport] = {
    **TRANSPORTS,
    "maxmin_latency_last": IDEAL,
    "maxmin_latency_first": Transport(latency_first=True),
    "cm02_rtt_weighted": Transport(latency_first=True, rtt_exponent=1.0),
}
"""The transports that a case can be run with, by name: those of `network.model`, and the three that the
reference times of flow cases are given for."""
Path_ = tuple[str | int, ...]
NotNegative = Annotated[Number, Field(ge=0)]


class CaseLink(Section):
    """A link between two nodes."""

    id: str
    a: str
    b: str
    bandwidth: NotNegative
    """Bytes per second."""
    latency: NotNegative
    """Seconds, one way."""
    duplex: Literal["full", "half", "simplex"] = "full"
    policy: Literal["shared", "fatpipe"] = "shared"

    @property
    def ways(self) -> dict[tuple[str, str], str]:
        """The resource of each direction that there is."""
        if self.duplex == "simplex":
            return {(self.a, self.b): self.id}
        back = self.id if self.duplex == "half" else f"{self.id} back"
        return {(self.a, self.b): self.id, (self.b, self.a): back}


class CaseFlow(Section):
    """A flow over given links."""

    id: str
    src: str
    dst: str
    route: tuple[str, ...]
    path: tuple[str, ...]
    bytes: NotNegative
    start: NotNegative
    after: tuple[str, ...] = ()


class CaseEvent(Section):
    """A link's bandwidth from some time on, in both directions."""

    time: NotNegative
    link: str
    bandwidth: NotNegative


class FlowCase(Section):
    """One case."""

    model_config = ConfigDict(extra="ignore")

    id: str
    nodes: tuple[str, ...]
    links: tuple[CaseLink, ...]
    flows: tuple[CaseFlow, ...]
    bandwidth_events: tuple[CaseEvent, ...] = ()

    @property
    def resources(self) -> dict[str, CaseLink]:
        """The link that each resource belongs to, in order."""
        return {name: link for link in self.links for name in link.ways.values()}

    def way(self, flow: CaseFlow) -> list[str]:
        """The resources that a flow uses."""
        links = {link.id: link for link in self.links}
        return [links[link].ways[hop] for link, hop in zip(flow.route, pairwise(flow.path), strict=True)]

    def latency(self, flow: CaseFlow) -> float:
        """The sum of the latencies on a flow's route."""
        links = {link.id: link for link in self.links}
        return fsum(links[link].latency for link in flow.route)


class FlowCases(Section):
    """A file of cases."""

    model_config = ConfigDict(extra="ignore")

    cases: tuple[dict[str, Any], ...]

    @field_validator("cases", mode="before")
    @classmethod
    def _list_of_mappings(cls, value: object) -> object:
        if not (isinstance(value, list) and all(isinstance(case, dict) for case in value)):
            raise ScenarioError.at(
                (), "not a list of cases", given=type(value).__name__, expected="[{id: ...}, ...]"
            )
        return value


def is_flow_cases(path: Path) -> bool:
    """Whether a path is meant to be a file of cases: a file that ends in .json."""
    return path.suffix == ".json" and not path.is_dir()


def read_cases(path: Path) -> list[FlowCase]:
    """The cases of a file, checked.

    Raises:
        ScenarioError: The file cannot be read, is not of this schema, or says something impossible; the
            message names the place.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ScenarioError.at((), f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ScenarioError.at((), f"{path} is not JSON: {error}") from None
    found = data.get("schema") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise ScenarioError.at(
            ("schema",), f"{path} is not a file of flow cases", given=found, expected=SCHEMA
        )
    cases = []
    for index, mapping in enumerate(validated(FlowCases, data, ()).cases):
        for key in mapping:
            known = nearest(key, list(FlowCase.model_fields))
            if key not in FlowCase.model_fields and known:  # other keys are somebody else's business
                raise ScenarioError.at(("cases", index, key), "unknown key", given=key, suggestion=known)
        case = validated(FlowCase, mapping, ("cases", index))
        _check(case, ("cases", index))
        cases.append(case)
    return cases


def run_case(case: FlowCase, transport: Transport, backend: Backend | None = None) -> dict[str, Any]:
    """When each flow of a case starts and finishes: ``{"id", "finish", "start", "makespan"}``, in order of
    its flows.

    A flow starts when all that it waits for has finished and its own start time has passed since. What never
    happens, because a link gives nothing any more, is None.

    Raises:
        ValueError: The transport cannot carry a flow of it (no latency to weigh by).
    """
    env = simpy.Environment()
    resources = case.resources
    names = list(resources)
    index = {name: number for number, name in enumerate(names)}
    fatpipes = frozenset(index[name] for name in names if resources[name].policy == "fatpipe")
    capacities = tuple(resources[name].bandwidth for name in names)
    network = FluidNetwork(
        env, RouteTable(capacities, fatpipes=fatpipes, names=tuple(names)), transport, backend=backend
    )
    finished = {flow.id: env.event() for flow in case.flows}
    starts: dict[str, float] = {}

    def carry(flow: CaseFlow) -> Generator[simpy.Event, None, None]:
        if flow.after:
            yield env.all_of([finished[other] for other in flow.after])
        yield env.timeout(flow.start)
        starts[flow.id] = float(env.now)
        route = Route(tuple(index[name] for name in case.way(flow)), case.latency(flow), flow.path)
        yield network.send_along(route, flow.bytes).delivered
        finished[flow.id].succeed(float(env.now))

    def change(event: CaseEvent) -> Generator[simpy.Event, None, None]:
        yield env.timeout(event.time)
        for name, link in resources.items():
            if link.id == event.link:
                network.set_capacity(index[name], event.bandwidth)

    for flow in case.flows:
        env.process(carry(flow))
    for event in case.bandwidth_events:
        env.process(change(event))
    env.run()
    network.check()
    finish = [finished[flow.id].value if finished[flow.id].triggered else None for flow in case.flows]
    ended = [time for time in finish if time is not None]
    return {
        "id": case.id,
        "finish": finish,
        "start": [starts.get(flow.id) for flow in case.flows],
        "makespan": max(ended, default=0.0) if len(ended) == len(finish) else None,
    }


def _check(case: FlowCase, path: Path_) -> None:
    """Raise `ScenarioError` for what is well-formed but cannot be."""
    links = {link.id: link for link in case.links}
    for what, ids in (
        ("links", [link.id for link in case.links]),
        ("flows", [flow.id for flow in case.flows]),
    ):
        for number, name in enumerate(ids):
            if name in ids[:number]:
                raise ScenarioError.at((*path, what, number, "id"), "the same id twice", given=name)
    for number, link in enumerate(case.links):
        for end in ("a", "b"):
            _known(getattr(link, end), case.nodes, "node", (*path, "links", number, end))
    for number, event in enumerate(case.bandwidth_events):
        _known(event.link, list(links), "link", (*path, "bandwidth_events", number, "link"))
    flows = {flow.id: flow for flow in case.flows}
    for number, flow in enumerate(case.flows):
        place = (*path, "flows", number)
        if len(flow.path) != len(flow.route) + 1:
            raise ScenarioError.at(
                (*place, "path"),
                f"{len(flow.path)} nodes for {len(flow.route)} links",
                expected="one node more than links",
            )
        if (flow.path[0], flow.path[-1]) != (flow.src, flow.dst):
            raise ScenarioError.at((*place, "path"), "does not lead from src to dst", given=list(flow.path))
        for hop, name in enumerate(flow.route):
            _known(name, list(links), "link", (*place, "route", hop))
            if (flow.path[hop], flow.path[hop + 1]) not in links[name].ways:
                raise ScenarioError.at(
                    (*place, "path", hop),
                    f"link {name} does not lead from {flow.path[hop]} to {flow.path[hop + 1]}",
                    expected=" or ".join(f"{a} to {b}" for a, b in links[name].ways),
                )
        if len(set(case.way(flow))) != len(flow.route):
            raise ScenarioError.at(
                (*place, "route"), "crosses a link twice in one direction", given=list(flow.route)
            )
        for position, other in enumerate(flow.after):
            _known(other, list(flows), "flow", (*place, "after", position))
    waiting = {flow.id: set(flow.after) for flow in case.flows}
    while ready := {flow for flow, others in waiting.items() if not others & waiting.keys()}:
        waiting = {flow: others for flow, others in waiting.items() if flow not in ready}
    if waiting:
        number = next(i for i, flow in enumerate(case.flows) if flow.id in waiting)
        raise ScenarioError.at(
            (*path, "flows", number, "after"), "waits for itself, through others", given=sorted(waiting)[:8]
        )


def _known(name: str, names: Sequence[str], what: str, path: Path_) -> None:
    if name not in names:
        raise ScenarioError.at(
            path, f"there is no {what} of this name", given=name, suggestion=nearest(name, names)
        )


def results_text(results: Sequence[Mapping[str, Any]]) -> str:
    """Results of cases as JSON, one case on a line."""
    return "[\n" + ",\n".join(json.dumps(result, allow_nan=False) for result in results) + "\n]\n"
