"""Which training samples a worker sees: a share of its own, a distribution of its own, or all of them."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simnet.scenario import Path, ScenarioError, choose, validated
from simnet.scenario.fields import Number, PositiveInteger
from simnet.tasks.entry import Entry, Options
from simnet.tasks.shifts import FeatureShiftOptions

Indices = NDArray[np.int64]
Shares = list[Indices]
"""The samples of each worker; it goes through them epoch by epoch."""


@dataclass(frozen=True, eq=False)
class Mixture:
    """Each worker draws samples independently: first a group by its own weights, then any sample of it."""

    weights: NDArray[np.float64]
    """`[workers, groups]`; rows sum to 1."""
    members: tuple[Indices, ...]
    """The samples of each group; the workers share them."""

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self.weights)

    def groups(self, generator: np.random.Generator, worker: int, count: int) -> Indices:
        """The groups of `count` samples of `worker`."""
        drawn = np.searchsorted(np.cumsum(self.weights[worker]), generator.random(count), side="right")
        return np.minimum(drawn, len(self.members) - 1)

    def draw(self, generator: np.random.Generator, worker: int, count: int) -> Indices:
        """`count` samples of `worker`."""
        groups = self.groups(generator, worker, count)
        drawn = np.empty(count, dtype=np.int64)
        for group in np.unique(groups):
            places = np.flatnonzero(groups == group)
            drawn[places] = generator.choice(self.members[group], len(places))
        return drawn


@dataclass(frozen=True, eq=False)
class Shifted:
    """What samples a worker sees, and that it sees them through a sensor of its own."""

    given: "Shares | Mixture"
    options: FeatureShiftOptions


Allotment = Shares | Mixture | Shifted


class IidOptions(Options):
    """Options of `iid`: none."""


class CommonOptions(Options):
    """Options of `common`: none."""


class MixtureOptions(Options):
    """Options of `mixture`."""

    alpha: Annotated[Number, Field(gt=0)] = Field(
        description="Concentration of the workers' weights over classes (for text: groups): 0.1 gives most "
        "workers one or two, 100 nearly equal ones."
    )


class DirichletOptions(Options):
    """Options of `dirichlet`."""

    alpha: Annotated[Number, Field(gt=0)] = Field(
        description="Concentration: 0.1 gives most workers one or two classes, 100 is nearly iid."
    )
    minimum: PositiveInteger = Field(
        1, description="Samples (for text: blocks) that every worker has at least."
    )


class ByClassOptions(Options):
    """Options of `by-class`."""

    classes_per_worker: PositiveInteger = Field(
        2, description="Different classes (for text: groups) among each worker's samples."
    )


def iid(
    options: IidOptions, labels: Indices, workers: int, generator: np.random.Generator, path: Path
) -> Shares:
    """Shuffled and cut into shares whose sizes differ by one at most."""
    _enough(len(labels), workers, path)
    return [np.sort(share) for share in np.array_split(generator.permutation(len(labels)), workers)]


def common(
    options: CommonOptions, labels: Indices, workers: int, generator: np.random.Generator, path: Path
) -> Shares:
    """All samples to everyone, each in an order of its own: what one process would train on.

    The workers share one array of indices.
    """
    return [np.arange(len(labels))] * workers


def mixture(
    options: MixtureOptions, labels: Indices, workers: int, generator: np.random.Generator, path: Path
) -> Mixture:
    """Each worker's weights over the classes are drawn from Dirichlet(alpha, ..., alpha).

    Unlike `dirichlet`, where a worker's share is finite and its size comes out of the draw, a worker has an
    endless stream from a distribution of its own, and two workers may see the same sample.
    """
    groups = np.unique(labels)
    weights = np.stack([_proportions(generator, options.alpha, len(groups)) for _ in range(workers)])
    return Mixture(weights, tuple(np.flatnonzero(labels == group) for group in groups))


def feature_shift(
    options: FeatureShiftOptions, labels: Indices, workers: int, generator: np.random.Generator, path: Path
) -> Shifted:
    """Another partition, `shares`, of which each worker sees the inputs through a sensor of its own.

    Raises `ScenarioError` where `shares` is a feature shift again.
    """
    where = (*path, "shares")
    entry = choose(options.shares.name, partitions, where, "partition")
    given = entry.build(
        validated(entry.options, options.shares.options, where), labels, workers, generator, where
    )
    if isinstance(given, Shifted):
        raise ScenarioError.at(where, "one feature shift beneath another", expected="another partition")
    return Shifted(given, options)


def dirichlet(
    options: DirichletOptions, labels: Indices, workers: int, generator: np.random.Generator, path: Path
) -> Shares:
    """Each class is shared out in proportions drawn from Dirichlet(alpha, ..., alpha) over the workers.

    Label skew as in Hsu et al. (2019, arXiv 1909.06335) and Lin et al. (2020, arXiv 2006.07242). Where a
    worker is left with less than `minimum` samples, the ones missing are taken from whoever has most,
    one by one; unlike drawing again until it fits, that always ends.
    """
    if options.minimum * workers > len(labels):
        raise ScenarioError.at(
            (*path, "minimum"),
            f"{workers} workers cannot have {options.minimum} each of {len(labels)} samples or blocks",
            given=options.minimum,
            expected=f"at most {len(labels) // workers}" if workers <= len(labels) else "fewer workers",
        )
    owned: list[list[int]] = [[] for _ in range(workers)]
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        cuts = np.cumsum(_proportions(generator, options.alpha, workers))[:-1] * len(members)
        for mine, piece in zip(owned, np.split(members, np.rint(cuts).astype(int)), strict=True):
            mine.extend(piece.tolist())
    for mine in owned:
        generator.shuffle(mine)
    for mine in owned:
        while len(mine) < options.minimum:
            mine.append(max(owned, key=len).pop())
    return [np.sort(np.array(mine, dtype=np.int64)) for mine in owned]


def _proportions(generator: np.random.Generator, alpha: float, workers: int) -> NDArray[np.float64]:
    """A Dirichlet draw that stays exact where alpha is tiny and all gamma variates would underflow to 0.

    Gamma(alpha) is Gamma(alpha + 1) * U ** (1 / alpha), taken in logarithms.
    """
    logs = np.log(generator.standard_gamma(alpha + 1, workers)) + np.log(generator.random(workers)) / alpha
    weights = np.exp(logs - logs.max())
    proportions: NDArray[np.float64] = weights / weights.sum()
    return proportions


def by_class(
    options: ByClassOptions, labels: Indices, workers: int, generator: np.random.Generator, path: Path
) -> Shares:
    """Each worker holds samples of a few classes only (the pathological split of McMahan et al., 2017).

    The classes, in random order, are dealt round and round, so that each has nearly as many owners; a
    class is split evenly among its owners.
    """
    classes = generator.permutation(np.unique(labels))
    count = options.classes_per_worker
    where = (*path, "classes_per_worker")
    if count > len(classes):
        raise ScenarioError.at(
            where, f"there are {len(classes)} classes only", given=count, expected=f"at most {len(classes)}"
        )
    if workers * count < len(classes):
        raise ScenarioError.at(
            where,
            f"{workers} workers with {count} each cannot own all {len(classes)} classes",
            given=count,
            expected=f"at least {-(-len(classes) // workers)}",
        )
    order = generator.permutation(workers)
    owners: list[list[int]] = [[] for _ in classes]
    for slot in range(workers * count):
        owners[slot % len(classes)].append(int(order[slot // count]))
    owned: list[list[Indices]] = [[] for _ in range(workers)]
    for label, holders in zip(classes, owners, strict=True):
        members = generator.permutation(np.flatnonzero(labels == label))
        if len(members) < len(holders):
            raise ScenarioError.at(
                path, f"{len(holders)} workers share a class of {len(members)}; use fewer workers"
            )
        for holder, piece in zip(holders, np.array_split(members, len(holders)), strict=True):
            owned[holder].append(piece)
    return [np.sort(np.concatenate(pieces)) for pieces in owned]


def _enough(samples: int, workers: int, path: Path) -> None:
    if samples < workers:
        raise ScenarioError.at(
            path, f"{samples} training samples (or blocks of text) are too few for {workers} workers"
        )


partitions: dict[str, Entry[Allotment]] = {
    "iid": Entry(IidOptions, iid, "near-equal random shares"),
    "dirichlet": Entry(DirichletOptions, dirichlet, "label skew: each class by Dirichlet(alpha) proportions"),
    "by-class": Entry(ByClassOptions, by_class, "each worker has a few classes only"),
    "common": Entry(CommonOptions, common, "everyone draws from all samples"),
    "mixture": Entry(MixtureOptions, mixture, "each worker draws by class weights from Dirichlet(alpha)"),
    "feature-shift": Entry(
        FeatureShiftOptions, feature_shift, "each worker sees inputs turned or shifted", ("classification",)
    ),
}
