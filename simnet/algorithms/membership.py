"""Synchronous methods when workers fail: who takes part in a round, and how a newcomer catches up."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from simnet.runtime.node import Aborted, Algorithm, Encoded, GroupChanged, Node, PeerLost, Timeout
from simnet.units import Seconds

OnFailure = Annotated[
    Literal["shrink", "wait", "abort"],
    Field(
        description="When a worker is lost: `shrink` goes on with the others and takes it in again when it "
        "is back, `wait` waits until it is back, `abort` ends the run."
    ),
]


class SynchronousMethod(Algorithm):
    """A method whose workers take every round together, and what they do when one is lost."""

    on_failure: OnFailure = "shrink"
    quorum: PositiveInt | None = Field(
        None, description="shrink: the fewest workers that go on, 1 if not given; fewer wait for others."
    )
    deadline: Seconds | None = Field(
        None,
        description="How long workers wait for each other when they agree on who goes on; then those who are "
        "there do (shrink, with a quorum), or the run is aborted. Not given: as long as it takes.",
    )

    @model_validator(mode="after")
    def _policy_fits(self) -> Self:
        if self.quorum is not None and self.on_failure != "shrink":
            raise ValueError(f"a quorum is for on_failure: shrink, not {self.on_failure}")
        if self.deadline is not None and self.on_failure == "abort":
            raise ValueError("on_failure: abort waits for nobody: it has no deadline")
        return self

    def group(self, node: Node, give: Callable[[], Any], take: Callable[[Any], None]) -> "Group":
        """Those who take rounds together with `node`; arguments as of :class:`Group`."""
        return Group(node, self, give, take)


def model_and_state(params: Tensor, state: dict[str, Tensor]) -> Encoded:
    """A model and an optimizer's state as a payload, charged as the floats in both."""
    floats = (tensor for tensor in (params, *state.values()) if tensor.is_floating_point())
    return Encoded((params, state), float(sum(tensor.nbytes for tensor in floats)))


class Group:
    """The workers that take rounds together, as one of them sees it.

    A round that all can finish is never broken off for a newcomer. A round in which somebody was lost is
    taken again by those who are left, with what they have computed already: the mean is over them.
    `node.version` counts the rounds that a worker's state has seen; the method adds 1 after each.

    Args:
        node: The worker.
        method: What it does when others fail.
        give: The state that a newcomer needs from this worker, as a payload: it pays for its bytes.
        take: Makes such a state this worker's own.
    """

    def __init__(
        self, node: Node, method: SynchronousMethod, give: Callable[[], Any], take: Callable[[Any], None]
    ) -> None:
        self._node = node
        self._method = method
        self._give = give
        self._take = take
        self._newcomer = node.incarnation > 0
        self._caught_up = False
        self._over = False

    async def round(self) -> bool:
        """Whether there is another round; newcomers are taken in before it.

        There is none once the first worker has spent its step budget. Raises :class:`Aborted` as the method's
        `on_failure` says.
        """
        if self._over or not self._node.running:
            return False
        if self._newcomer or self._node.regrouping:
            if self._newcomer and self._method.on_failure == "abort":
                raise Aborted(f"{self._node.id} was down until {self._node.now:.6g} s; on_failure: abort")
            self._newcomer = False
            await self._regroup()
        self._caught_up = False
        return not self._over

    async def mean(self, tensor: Tensor) -> Tensor:
        """The mean over all who take part.

        Raises :class:`GroupChanged` if others had finished the round when somebody was lost: this worker has
        their state now, and goes on with the next round.
        """
        while True:
            try:
                return await self._node.all_reduce(tensor, op="mean")
            except GroupChanged as changed:
                await self.agree(changed)

    async def agree(self, changed: GroupChanged) -> None:
        """Agree on who goes on after a collective failed; then it can be called again.

        Raises `changed` where it must not be, as :meth:`mean` does.
        """
        self._abort_if_lost(changed)
        await self._regroup()
        if self._over:  # what it has begun alone is void
            self._take(self._give())
        if self._caught_up or self._over:
            raise changed

    async def _regroup(self) -> None:
        everybody = len(self._node.members(self._node.role))
        quorum = everybody if self._method.on_failure == "wait" else self._method.quorum or 1
        while True:
            try:
                view = await self._node.regroup(quorum, self._method.deadline)
                if view.behind and self._node.id in (view.leader, *view.behind):
                    state = self._give() if self._node.id == view.leader else None
                    state = await self._node.broadcast(state, view.leader, (view.leader, *view.behind))
                    if self._node.id != view.leader:
                        self._take(state)
                        self._node.version, self._caught_up = view.version, True
                self._over = view.over
                return
            except GroupChanged as changed:
                self._abort_if_lost(changed)
            except Timeout as late:
                raise Aborted(f"{late}, at {self._node.now:.6g} s") from None

    def _abort_if_lost(self, changed: GroupChanged) -> None:
        if isinstance(changed, PeerLost) and self._method.on_failure == "abort":
            raise Aborted(
                f"{changed.peer} went down, {self._node.id} noticed at {self._node.now:.6g} s; "
                "on_failure: abort"
            )
