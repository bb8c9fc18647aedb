"""FedBuff."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from simnet.aggregation import AggregationConfig, Mean
from simnet.algorithms.federated import check_server_rule, is_plain, robust_update, serve_updates
from simnet.runtime.node import Algorithm, Message, Node, PeerLost


class FedBuff(Algorithm):
    """Buffered asynchronous aggregation: the server steps after every few updates (Nguyen et al., 2022).

    An update from `tau` versions ago counts `1 / (1 + tau)^a`; when `buffer` of them are here,
    `w <- w + eta / c sum_k Delta_k / (1 + tau_k)^a`. Nobody waits for the slowest: whoever delivers gets the
    newest model at once. With an `aggregation` that is not the mean, the step is `eta` times what that rule
    makes of the buffered `Delta_k / (1 + tau_k)^a`.
    """

    evaluated_role: ClassVar[str] = "server"
    step_budget: ClassVar[Literal["each", "mean"]] = "mean"

    local_steps: PositiveInt = Field(20, description="Optimizer steps of a client per update (K).")
    buffer: PositiveInt = Field(4, description="Updates per server step (c).")
    concurrency: PositiveInt | None = Field(
        None, description="Clients that work at the same time; default: all of them."
    )
    server_lr: PositiveFloat = Field(1.0, description="Server learning rate (eta).")
    staleness_exponent: Annotated[float, Field(ge=0)] = Field(
        0.5, description="a in the weight 1 / (1 + staleness)^a; 0 ignores staleness."
    )
    aggregation: AggregationConfig = Field(
        Mean(), description="How the server combines the buffered updates."
    )

    @model_validator(mode="after")
    def _rule_has_what_it_needs(self) -> Self:
        check_server_rule(self.aggregation)
        if self.buffer < self.aggregation.fewest:
            raise ValueError(f"{self.aggregation.name} needs buffer: {self.aggregation.fewest} or more")
        return self

    def roles(self) -> Mapping[str, Callable[[Node], Coroutine[Any, Any, None]]]:
        return {"server": self.server, "worker": self.worker}

    async def server(self, node: Node) -> None:
        clients = node.members("worker")
        order = [clients[index] for index in node.rng.permutation(len(clients))]
        slots, busy, idle = self.concurrency or len(order), dict[str, None](), order
        drift, buffered = torch.zeros_like(node.params), 0
        updates: list[Message] = []
        drifts: list[Tensor] = []
        last = drift
        while True:
            idle = self.hand_out(node, slots, busy, idle)
            try:
                update = await node.recv(tag="update", watching=busy)
            except PeerLost as lost:
                busy.pop(lost.peer, None)
                continue
            if update.payload is None:  # it was down
                if update.sender not in busy and update.sender not in idle:
                    idle.append(update.sender)
                continue
            if update.version <= node.version:  # else: of a model that this server lost when it was down
                staleness = node.staleness(update)
                node.record(staleness=staleness)
                scaled = update.payload[0] / (1 + staleness) ** self.staleness_exponent
                drift = drift + scaled
                buffered += 1
                if not is_plain(self.aggregation):
                    updates.append(update)
                    drifts.append(scaled)
            if buffered == self.buffer:
                if updates:
                    last = await robust_update(node, updates, drifts, self.aggregation, last)
                    node.params = node.params + self.server_lr * last
                    updates, drifts = [], []
                else:
                    node.params = node.params + self.server_lr / self.buffer * drift
                node.version += 1
                drift, buffered = torch.zeros_like(drift), 0
            busy.pop(update.sender, None)
            idle.append(update.sender)

    def hand_out(self, node: Node, slots: int, busy: dict[str, None], idle: list[str]) -> list[str]:
        """Send the model to idle clients that are up while there are free slots; gives those still idle."""
        up = node.up("worker")
        there = set(up) if len(up) < len(node.members("worker")) else None
        while node.running and idle and len(busy) < slots:
            client, *idle = idle
            if there is None or client in there:  # one that is down says so when it is back
                busy[client] = None
                node.spawn(node.send(client, node.params, "model"))
        return idle

    async def worker(self, node: Node) -> None:
        await serve_updates(node, self.local_steps)
