"""Bristle."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from simnet.algorithms.catching_up import known_up
from simnet.algorithms.overlay import Graph, overlay
from simnet.runtime.node import Algorithm, Node, Timeout


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """What a peer pushed: its output layer, and the classes that it vouches for."""

    sender: str
    layer: Tensor
    classes: tuple[int, ...]


class Bristle(Algorithm):
    """Push gossip of the output layer alone, integrated class by class (Verbraeken et al., 2021).

    arXiv 2110.11006. The extractor below the output layer stays as it is. Of the layers that arrived, some
    are drawn from three bands of distance; each class's column becomes a mean of one's own and theirs,
    weighed by how well they do on one's own samples. A peer vouches only for classes that it has itself.
    Sends `degree (h + 1) C b` bytes per round. Nobody waits, and an integration pays for its forward passes.
    A peer that is lost is sent nothing; one that comes back learns from the layers that it is sent from then
    on.
    """

    step_budget: ClassVar[Literal["each", "mean"]] = "each"
    needs_values: ClassVar[bool] = True

    graph: Graph = Field("neighbors", description="Whom a worker pushes its output layer to.")
    classes: PositiveInt = Field(10, description="Classes of the task (C): columns of the output layer.")
    local_steps: PositiveInt = Field(
        10, description="Optimizer steps on the output layer between two pushes."
    )
    candidates: PositiveInt = Field(10, description="Most layers that one integration looks at (F).")
    explore: Annotated[float, Field(ge=0, le=1)] = Field(
        0.4, description="Share of far ones among them (alpha): 0 takes the nearest band only."
    )
    test_batches: PositiveInt = Field(2, description="Minibatches of own samples that layers are judged on.")

    def check_model(self, classes: int | None, last_layer: Sequence[tuple[int, ...]]) -> None:
        if classes is None:
            raise ValueError("it weighs models class by class: the task must tell classes of samples apart")
        if classes != self.classes:
            raise ValueError(f"the task has {classes} classes, not {self.classes}: set `classes`")
        if [shape[:1] for shape in last_layer] != [(classes,), (classes,)] or len(last_layer[0]) != 2:
            raise ValueError(
                f"it exchanges an output layer of weights [{classes}, h] and biases [{classes}], and what "
                f"nodes see as the last layer has {list(last_layer)}: it needs a linear layer at the model's "
                "end, and no `task.charge_as.layers`"
            )

    async def worker(self, node: Node) -> None:
        peers, layer = overlay(self.graph, node), node.layers[-1]
        while node.running:
            await node.train(self.local_steps, only=layer)
            candidates = self.prioritised(node, node.params[layer], await self.arrived(node))
            familiar = await self.integrate(node, layer, candidates)
            pushed = node.params[layer]
            for peer in known_up(node, peers):
                node.spawn(node.send(peer, (pushed, list(familiar)), "layer"))

    async def arrived(self, node: Node) -> list[Candidate]:
        """The newest layer of each peer that has come since the last round; does not wait."""
        newest: dict[str, Candidate] = {}
        while True:
            try:
                message = await node.recv(tag="layer", timeout=0.0)
            except Timeout:
                return [newest[sender] for sender in sorted(newest)]
            layer, classes = message.payload
            if bool(torch.isfinite(layer).all()):
                newest[message.sender] = Candidate(message.sender, layer, tuple(classes))

    def prioritised(self, node: Node, own: Tensor, arrived: list[Candidate]) -> list[Candidate]:
        """Of three bands by distance: `(1-a)^2 F` of the nearest, `2a(1-a) F` of the middle, `a^2 F` far."""
        by_distance = sorted(arrived, key=lambda one: float(torch.linalg.vector_norm(one.layer - own)))
        third = -(-len(by_distance) // 3)
        bands = [by_distance[:third], by_distance[third : 2 * third], by_distance[2 * third :]]
        near, far = round((1 - self.explore) ** 2 * self.candidates), round(self.explore**2 * self.candidates)
        chosen: list[Candidate] = []
        for band, wanted in zip(bands, (near, self.candidates - near - far, far), strict=True):
            drawn = node.rng.permutation(len(band))[:wanted]
            chosen += [band[place] for place in sorted(drawn.tolist())]
        return chosen

    async def integrate(self, node: Node, layer: slice, candidates: list[Candidate]) -> tuple[int, ...]:
        """Mix the candidates' columns into one's own; gives the classes of one's own samples."""
        own = node.params
        models = [own, *(with_layer(own, layer, one.layer) for one in candidates)]
        predicted, targets = await node.predictions(models, self.test_batches)
        familiar = tuple(targets.unique().tolist())
        scores = f1_scores(predicted, targets, familiar)
        weights = column_weights(scores, familiar, [one.classes for one in candidates], self.classes)
        node.judged({one.sender: bool(row.any()) for one, row in zip(candidates, weights[1:], strict=True)})
        columns = torch.stack([self.columns(model[layer]) for model in models])
        share = (weights / weights.sum(dim=0)).to(columns)
        mixed = (share.unsqueeze(-1) * columns).sum(dim=0)
        node.params = with_layer(own, layer, self.flat(mixed))
        return familiar

    def columns(self, layer: Tensor) -> Tensor:
        """`[C, h + 1]` from a flat output layer, weights `[C, h]` first and then biases `[C]`."""
        weights = layer[: -self.classes].reshape(self.classes, -1)
        return torch.cat([weights, layer[-self.classes :].unsqueeze(-1)], dim=-1)

    def flat(self, columns: Tensor) -> Tensor:
        """The flat layer of columns `[C, h + 1]`."""
        return torch.cat([columns[:, :-1].reshape(-1), columns[:, -1]])


def with_layer(params: Tensor, layer: slice, values: Tensor) -> Tensor:
    """`params` `[d]` with another last layer."""
    return torch.cat([params[: layer.start], values, params[layer.stop :]])


def f1_scores(predicted: Tensor, targets: Tensor, classes: Sequence[int]) -> Tensor:
    """F1 `[m, len(classes)]` of models' predictions `[m, samples]`: `2 TP / (2 TP + FP + FN)`."""
    scores = []
    for one in classes:
        said, true = predicted == one, targets == one
        hits = (said & true).sum(dim=-1)
        scores.append(2.0 * hits / (said.sum(dim=-1) + true.sum()))
    return torch.stack(scores, dim=-1).double().cpu()


def column_weights(
    scores: Tensor, familiar: Sequence[int], vouched: Sequence[Sequence[int]], classes: int
) -> Tensor:
    """Weights `[1 + m, C]` of one's own columns (1) and of `m` peers', from F1 `[1 + m, familiar]`.

    In a class that both have, with `w = 10 |F1_own - F1_peer|`, a peer's score is `w^(3 + F1_own)` where it
    is better and `-w^(4 + F1_own)`, at least -100, where it is worse. Its weight is
    `max(0, 10 sigmoid(score / 100) - 4)` times its certainty, `max(0, mean - std)` of its F1 in those
    classes. In a class that one has no samples of, it is so with the sum of its scores. A peer counts only in
    classes that it vouches for, and not at all where it shares none.
    """
    own, theirs = scores[0], scores[1:]
    gap = 10.0 * (theirs - own).abs()
    score = torch.where(theirs > own, gap ** (3.0 + own), -(gap ** (4.0 + own))).clamp_min(-100.0)
    weights = torch.zeros(len(scores), classes, dtype=torch.float64)
    weights[0] = 1.0
    for peer, announced in enumerate(vouched):
        shared = [place for place, one in enumerate(familiar) if one in announced]
        if not shared:
            continue
        f1 = theirs[peer, shared]
        certainty = (f1.mean() - f1.std(correction=0)).clamp_min(0.0)
        known, foreign = squashed(score[peer]), squashed(score[peer, shared].sum())
        for one in set(announced) & set(range(classes)):
            found = known[familiar.index(one)] if one in familiar else foreign
            weights[1 + peer, one] = found * certainty
    return weights


def squashed(score: Tensor) -> Tensor:
    """`max(0, 10 sigmoid(score / 100) - 4)`: 1 where both are equally good."""
    return (10.0 * torch.sigmoid(score / 100.0) - 4.0).clamp_min(0.0)
