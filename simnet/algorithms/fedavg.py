"""FedAvg."""

from collections.abc import Callable, Coroutine, Mapping
from math import ceil
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from simnet.algorithms.federated import Weighting, mean_update, serve_updates
from simnet.runtime.node import Algorithm, Message, Node, PeerLost, Timeout
from simnet.units import Seconds


class FedAvg(Algorithm):
    """Federated averaging: a server samples clients, they train, it averages (McMahan et al., 2017).

    `w <- w + eta sum_k (p_k / sum p) Delta_k` over the sampled clients. With `over_selection` above 1 more
    clients are asked than needed and the first answers count; with a `deadline` the round ends there with
    whoever has answered (at least one). A client sends and receives `d b` bytes per round.
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

    def roles(self) -> Mapping[str, Callable[[Node], Coroutine[Any, Any, None]]]:
        return {"server": self.server, "worker": self.worker}

    async def server(self, node: Node) -> None:
        clients = node.members("worker")
        idle = set(clients)
        while node.running:
            wanted = min(self.clients or len(clients), len(clients))
            up = set(node.up("worker"))
            available = [client for client in clients if client in idle and client in up]
            chosen = node.rng.permutation(len(available))[: ceil(wanted * self.over_selection)]
            asked = {available[index] for index in chosen}
            for index in sorted(chosen):
                idle.discard(available[index])
                node.spawn(node.send(available[index], node.params, "model"))
            answers = await self.gather(node, idle, asked, wanted)
            if not answers:  # all who were asked are lost
                continue
            drift = mean_update(answers, self.weighting)
            node.params = node.params + self.server_lr * drift
            node.version += 1

    async def gather(self, node: Node, idle: set[str], asked: set[str], wanted: int) -> list[Message]:
        """This round's first `wanted` answers, or those that are here at the deadline; late ones of earlier
        rounds are dropped, and lost clients are not waited for."""
        answers: list[Message] = []
        closes = None if self.deadline is None else node.now + self.deadline
        clients, nobody = node.members("worker"), not asked
        while len(answers) < wanted and (asked or nobody):
            left = None if closes is None or not answers else max(0.0, closes - node.now)
            try:
                busy = [client for client in clients if client not in idle]
                answer = await node.recv(tag="update", timeout=left, watching=busy)
            except Timeout:
                break
            except PeerLost as lost:
                asked.discard(lost.peer)
                idle.add(lost.peer)  # as soon as it is up again
                continue
            if answer.payload is None:  # it was down
                nobody = False
            elif answer.version > node.version:  # of a model that this server lost when it was down
                continue
            elif answer.sender in asked and node.staleness(answer) == 0:
                answers.append(answer)
            if answer.payload is not None or answer.sender not in asked:
                asked.discard(answer.sender)
                idle.add(answer.sender)
        node.record(answers=len(answers))
        return answers

    async def worker(self, node: Node) -> None:
        await serve_updates(node, self.local_steps)
