"""Finding out before anything runs whether the documents of a batch can be run."""

from collections.abc import Callable, Sequence
from typing import Any

from simnet.batch.pool import Call, Died, Pool, Raised
from simnet.scenario import Document, Scenario, ScenarioError


def check_documents(documents: Sequence[Document], jobs: int, build: bool) -> None:
    """Raise the `ScenarioError` of the first document that has one.

    Of every point of a sweep the options of algorithms and optimizers are checked; with ``build``, the first
    point is also built whole (network, data, model, memory), as `simnet validate` does. It is done in
    processes of the pool, so that this one need not load torch.
    """
    calls = [
        Call(index, _check, (tuple(point.scenario for point in document.scenarios), build))
        for index, document in enumerate(documents)
    ]
    with Pool(min(jobs, len(calls))) as pool:
        for _, happened in pool.each(calls):
            match happened:
                case Raised(error):
                    raise error
                case Died(reason):
                    raise ScenarioError.at((), f"the scenario could not be checked: {reason}")


def _check(scenarios: tuple[Scenario, ...], build: bool, tell: Callable[[Any], None]) -> None:
    from simnet.plan import check_options, plans

    for scenario in scenarios:
        check_options(scenario)
    if build:
        plans(scenarios[0])
