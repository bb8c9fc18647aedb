"""When models are evaluated, and what is recorded of them. Evaluation costs no virtual time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from math import inf
from typing import Protocol

import torch
from torch import Tensor

from simnet.compute import Engine, TimingEngine
from simnet.results import Recorder
from simnet.scenario import EvaluateConfig


class HasModel(Protocol):
    """A node, as far as evaluation looks at it."""

    id: str

    @property
    def steps(self) -> int:
        """Optimizer steps so far."""

    @property
    def params(self) -> Tensor:
        """Flat parameters `[d]`."""


class Evaluation:
    """Evaluates the model that the method would hand over, and the workers' local models beside it.

    By time: at every multiple of `every`, after all events of that instant. By steps: when a multiple of
    `every` mean worker steps has been passed and the next computation begins, so that the synchronisation
    that belongs to those steps is in the model, the time and the bytes. A timing-only run has no models to
    evaluate: only steps and bytes are recorded.
    """

    def __init__(
        self,
        engine: Engine | TimingEngine,
        recorder: Recorder,
        config: EvaluateConfig,
        workers: Sequence[HasModel],
        evaluated: Sequence[HasModel],
        stepping: int,
        has_model: Callable[[str], bool] = lambda _: True,
    ) -> None:
        self._engine = engine
        self._recorder = recorder
        self._workers = workers
        self._evaluated = evaluated
        self._has_model = has_model
        self._stepping = stepping  # nodes that take steps: stages, where the models are of whole pipelines
        self._seconds = config.seconds
        self._steps = config.steps
        self._next_index = 1
        self._next_step = inf if config.steps is None else config.steps
        self._steps_passed = False
        self._ready = False
        self._last_models: list[Tensor] = []
        self._last_names: list[str] = []
        self._last_rows: list[tuple[str, str, float]] = []
        self._last: tuple[float, int, float] | None = None
        self._staged: deque[tuple[float, list[tuple[str, int, str, float]]]] = deque()
        self.latest: dict[str, float] = {}

    def steps_taken(self, mean_steps: int) -> None:
        """The workers have taken so many steps each on average."""
        if mean_steps >= self._next_step and self._steps is not None:
            self._steps_passed = True
            self._next_step = (mean_steps // self._steps + 1) * self._steps

    def work_begins(self) -> None:
        """A computation starts."""
        self._ready = self._steps_passed

    def due(self, upcoming: float) -> bool:
        """Whether something is to be evaluated before the event at `upcoming`."""
        if self._seconds is not None:
            return upcoming > self._next_index * self._seconds
        return self._ready

    def moments(self, now: float, upcoming: float) -> Iterator[float]:
        """The times of the evaluations that are due before `upcoming`."""
        if self._seconds is not None:
            while self._next_index * self._seconds < upcoming:
                yield self._next_index * self._seconds
                self._next_index += 1
        else:
            self._ready = self._steps_passed = False
            yield now

    def stage(self, moment: float, worker_steps: int, bytes_sent: float) -> None:
        """Evaluate now for `moment`. What is recorded waits for :meth:`commit`: should nothing more happen,
        the run turns out to have ended before `moment`."""
        point = (moment, worker_steps, bytes_sent)
        evaluated, workers = self._there(self._evaluated), self._there(self._workers)
        nodes = (*evaluated, *workers) if self._engine.has_values else ()
        models = _sharing([node.params for node in nodes])
        names = [node.id for node in nodes]
        unchanged = names == self._last_names and all(
            new is old for new, old in zip(models, self._last_models, strict=True)
        )
        if unchanged and point == self._last:
            return
        if not unchanged:
            self._last_rows = self._values(models, len(evaluated), workers) if models else []
            self._last_models, self._last_names = models, names
        self._last = point
        steps = {node.id: node.steps for node in self._workers} if self._last_rows else {}
        mean_steps = worker_steps / self._stepping
        rows = [
            (node, steps.get(node, int(mean_steps)), name, value) for node, name, value in self._last_rows
        ]
        rows.append(("", int(mean_steps), "steps", mean_steps))
        rows.append(("", int(mean_steps), "bytes", bytes_sent))
        self._staged.append((moment, rows))

    def commit(self, until: float) -> None:
        """Record what was staged for moments up to `until`."""
        while self._staged and self._staged[0][0] <= until:
            moment, rows = self._staged.popleft()
            for node, step, name, value in rows:
                self._recorder.metric(moment, node, step, name, value)

    def finish(self, ended: float, worker_steps: int, bytes_sent: float) -> None:
        """The run ended: evaluate once more, and drop what was staged for later."""
        self.commit(ended)
        self._staged.clear()
        self.stage(ended, worker_steps, bytes_sent)
        self.commit(ended)

    def _there(self, nodes: Sequence[HasModel]) -> Sequence[HasModel]:
        """Those whose models can be had, not those that are down. All, if none can."""
        return [node for node in nodes if self._has_model(node.id)] or nodes

    def _values(
        self, models: list[Tensor], evaluated_count: int, workers: Sequence[HasModel]
    ) -> list[tuple[str, str, float]]:
        """Rows (node, name, value) for the mean model, the local ones and how far they lie apart."""
        evaluated, local = models[:evaluated_count], models[evaluated_count:]
        mean = _mean(evaluated)
        results = self._engine.evaluate([mean, *local])
        self.latest = dict(results[0])
        rows = [("", name, value) for name, value in results[0].items()]
        for node, values in zip(workers, results[1:], strict=True):
            rows += [(node.id, name, value) for name, value in values.items()]
        losses = [values["loss"] for values in results[1:]]
        rows.append(("", "local_loss", sum(losses) / len(losses)))
        rows.append(("", "consensus_distance", _consensus_distance(local)))
        return rows


def _sharing(models: list[Tensor]) -> list[Tensor]:
    """The same models, those equal to the first made the same object: after a synchronisation all are."""
    return [models[0] if model is models[0] or torch.equal(model, models[0]) else model for model in models]


def _mean(models: list[Tensor]) -> Tensor:
    if all(model is models[0] for model in models):
        return models[0]
    total = models[0].clone()
    for model in models[1:]:
        total += model
    return total / len(models)


def _consensus_distance(models: list[Tensor]) -> float:
    """Root of the mean squared distance of the workers' models from their mean."""
    if all(model is models[0] for model in models):
        return 0.0
    mean = _mean(models)
    squares = [float(torch.dot(model - mean, model - mean)) for model in models]
    return float((sum(squares) / len(squares)) ** 0.5)
