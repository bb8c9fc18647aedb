"""FedAvg."""

from collections.abc import Callable, Coroutine, Mapping
from math import ceil
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
from pydantic import Field, PositiveFloat, PositiveInt, model_validator
from torch import Tensor

from simnet.aggregation import AggregationConfig, Mean
from simnet.algorithms.federated import (
    Weighting,
    check_server_rule,
    is_plain,
    mean_update,
    robust_update,
    serve_updates,
)
from simnet.runtime.node import Algorithm, Message, Node, PeerLost, Timeout
from simnet.units import Seconds


class FedAvg(Algorithm):
    """Federated averaging: a server samples clients, they train, it averages (McMahan et al., 2017).

    `w <- w + eta sum_k (p_k / sum p) Delta_k` over the sampled clients. With `over_selection` above 1 more
    clients are asked than needed and the first answers count; with a `deadline` the round ends there with
    whoever has answered (at least one). A client sends and receives `d b` bytes per round. With an
    `aggregation` that is not the mean, `Delta` is what that rule makes of the drifts, all alike.
    """

    evaluated_role: ClassVar[str] = "server"
    step_budget: ClassVar[Literal["each", "mean"]] = "mean"

    local_steps: PositiveInt = Field(20, description="Optimizer steps of a client per round (K).")
    clients: PositiveInt | None = Field(
        None, description="Answers that a round averages; default: all clients."
    )
    over_selection: Annotated[float, Field(ge=1)] = Field(
        1.0, description="Ask this many times as many clients as needed; the first answers count."
    )
    deadline: Seconds | None = Field(None, description="Longest time that a round waits for answers.")
    server_lr: PositiveFloat = Field(1.0, description="Server learning rate (eta).")
    weighting: Weighting = Field(
        "samples", description="Weight p_k: the client's samples, or the same for all."
    )
    aggregation: AggregationConfig = Field(
        Mean(),
        description="How the server combines drifts; mean: the weighted mean. A round with fewer answers "
        "than another rule needs changes nothing.",
    )

    @model_validator(mode="after")
    def _rule_has_what_it_needs(self) -> Self:
        check_server_rule(self.aggregation)
        return self

    def roles(self) -> Mapping[str, Callable[[Node], Coroutine[Any, Any, None]]]:
        return {"server": self.server, "worker": self.worker}

    async def server(self, node: Node) -> None:
        clients = node.members("worker")
        busy: dict[str, None] = {}  # who has been asked and has not answered, in this order
        drift = torch.zeros_like(node.params)
        while node.running:
            wanted = min(self.clients or len(clients), len(clients))
            up = set(node.up("worker"))
            available = [client for client in clients if client not in busy and client in up]
            chosen = node.rng.permutation(len(available))[: ceil(wanted * self.over_selection)]
            asked = {available[index] for index in chosen}
            for index in sorted(chosen):
                busy[available[index]] = None
                node.spawn(node.send(available[index], node.params, "model"))
            answers = await self.gather(node, busy, asked, wanted)
            if not answers:  # all who were asked are lost
                continue
            if is_plain(self.aggregation):
                drift = mean_update(answers, self.weighting)
            else:
                drift = await self.robust(node, answers, drift)
            node.params = node.params + self.server_lr * drift
            node.version += 1

    async def robust(self, node: Node, answers: list[Message], last: Tensor) -> Tensor:
        """What the rule makes of the answers; no drift where they are too few for it."""
        if len(answers) < self.aggregation.fewest:
            node.record(too_few_answers=len(answers))
            return torch.zeros_like(last)
        drifts = [answer.payload[0] for answer in answers]
        return await robust_update(node, answers, drifts, self.aggregation, last)

    async def gather(self, node: Node, busy: dict[str, None], asked: set[str], wanted: int) -> list[Message]:
        """This round's first `wanted` answers, or those that are here at the deadline; late ones of earlier
        rounds are dropped, and lost clients are not waited for."""
        answers: list[Message] = []
        closes = None if self.deadline is None else node.now + self.deadline
        nobody = not asked
        while len(answers) < wanted and (asked or nobody):
            left = None if closes is None or not answers else max(0.0, closes - node.now)
            try:
                answer = await node.recv(tag="update", timeout=left, watching=busy)
            except Timeout:
                break
            except PeerLost as lost:
                asked.discard(lost.peer)
                busy.pop(lost.peer, None)  # it may be asked as soon as it is up again
                continue
            if answer.payload is None:  # it was down
                nobody = False
            elif answer.version > node.version:  # of a model that this server lost when it was down
                continue
            elif answer.sender in asked and node.staleness(answer) == 0:
                answers.append(answer)
            if answer.payload is not None or answer.sender not in asked:
                asked.discard(answer.sender)
                busy.pop(answer.sender, None)
        node.record(answers=len(answers))
        return answers

    async def worker(self, node: Node) -> None:
        await serve_updates(node, self.local_steps)
