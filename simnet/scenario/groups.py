"""Which worker belongs to which group of a scenario's `workers`."""

from collections.abc import Sequence

from simnet.scenario.machines import WorkerGroup


def groups_of_workers(groups: Sequence[WorkerGroup], workers: int) -> list[int]:
    """The index of each worker's group: workers are numbered group by group, one group may take the rest."""
    sizes = [group.count if group.nodes is None else len(group.nodes) for group in groups]
    rest = workers - sum(size for size in sizes if size is not None)
    return [index for index, size in enumerate(sizes) for _ in range(rest if size is None else size)]
