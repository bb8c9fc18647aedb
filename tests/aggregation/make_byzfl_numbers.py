"""Writes byzfl-numbers.json: what byzfl 0.0.11 answers, for `test_equals_byzfl.py`.

    pip install --no-deps --target /tmp/byzfl byzfl==0.0.11
    PYTHONPATH=/tmp/byzfl python tests/aggregation/make_byzfl_numbers.py

byzfl is not among the development dependencies: its package imports torchvision, whose wheel must be of the
same build as torch (a CUDA torchvision does not load beside a CPU torch). Its aggregators and attacks need
numpy, scipy and torch alone, so this imports them without the package's own `__init__`. Run with numpy 2.4.6,
scipy 1.17.1 and torch 2.13.0, on numpy arrays of float64.

CAF and SMEA of byzfl estimate eigenvectors by one step of the power method from a random start. Here they are
run with 1000 steps instead of 1. And its CAF measures how far out the vectors are against the one that is
furthest out, also when that one is already shut out: then the others' weights hardly change, and one vector
that is a thousand times as long as the others makes a million rounds. Here it measures against those that
still have weight. These two changes are made in the text of the two classes; all else is as published.
"""

import importlib.util
import inspect
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent


def import_byzfl() -> tuple[Any, Any, Any]:
    """The modules aggregators, preaggregators and attacks."""
    spec = importlib.util.find_spec("byzfl")
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit(__doc__)
    package = types.ModuleType("byzfl")
    package.__path__ = list(spec.submodule_search_locations)
    sys.modules["byzfl"] = package
    from byzfl.aggregators import aggregators, preaggregators
    from byzfl.attacks import attacks

    for name in ("CAF", "SMEA"):
        source = inspect.getsource(getattr(aggregators, name))
        assert source.count("max_iters=1)") == 1
        source = source.replace("max_iters=1)", "max_iters=1000)")
        source = source.replace("tau_max = tau.max()", "tau_max = tau[c > 0].max()")
        exec(source, vars(aggregators))
    return aggregators, preaggregators, attacks


def stacks() -> dict[str, np.ndarray]:
    """Vectors `[n, d]` of several kinds; the last rows of some are lies."""
    rng = np.random.default_rng(20240)
    apart = rng.normal(size=(11, 6)) * rng.uniform(0.2, 5.0, size=(11, 1)) + 3.0
    lies = rng.normal(size=(12, 5)) + 1.0
    lies[-3:] = -4.0 * lies[:9].mean(axis=0) + 0.1 * rng.normal(size=(3, 5))
    huge = rng.normal(size=(9, 4))
    huge[-2:] *= 1e3
    one = rng.normal(size=(10, 1))
    return {"normal": rng.normal(size=(13, 7)), "apart": apart, "lies": lies, "huge": huge, "line": one}


def rules(byzfl: Any, f: int, n: int) -> Iterator[tuple[dict[str, Any], Any]]:
    """Pairs of a rule as simnet names it and the same rule of byzfl."""
    scores = {"nearest": "n-f-1"}  # byzfl counts one neighbour more than the paper
    yield {"name": "mean"}, byzfl.Average()
    yield {"name": "median"}, byzfl.Median()
    yield {"name": "trimmed-mean", "f": f}, byzfl.TrMean(f)
    yield {"name": "meamed", "f": f}, byzfl.Meamed(f)
    yield {"name": "krum", "f": f, **scores}, byzfl.Krum(f)
    yield {"name": "multi-krum", "f": f, **scores}, byzfl.MultiKrum(f)
    for steps, nu in ((3, 0.1), (8, 1e-6), (60, 1e-3)):
        options = {"iterations": steps, "nu": nu, "start": "zero"}
        yield {"name": "geometric-median", **options}, byzfl.GeometricMedian(nu, steps)
    for radius, steps in ((100.0, 1), (1.5, 1), (0.7, 4)):
        options = {"radius": radius, "iterations": steps}
        yield {"name": "centred-clipping", **options}, byzfl.CenteredClipping(L=steps, tau=radius)
    yield {"name": "mda", "f": f}, byzfl.MDA(f)
    yield {"name": "smea", "f": f}, byzfl.SMEA(f)
    if f:  # byzfl's answer is None for f = 0
        yield {"name": "caf", "f": f}, byzfl.CAF(f)


def pre_aggregators(byzfl: Any, f: int) -> Iterator[tuple[dict[str, Any], Any]]:
    """The same for pre-aggregators without luck."""
    yield {"name": "nnm", "f": f}, byzfl.NNM(f)
    yield {"name": "arc", "f": f}, byzfl.ARC(f)
    yield {"name": "clipping", "radius": 1.25}, byzfl.Clipping(1.25)


def attacks(byzfl: Any, rules: Any, before: Any, f: int) -> Iterator[tuple[dict[str, Any], Any, float]]:
    """The same for attacks on f of n; the last is -1 where the answer is that for the negated vectors."""
    for scale in (0.1, 2.0):
        yield {"name": "ipm", "scale": scale}, byzfl.InnerProductManipulation(scale), 1.0
    for z in (1.5, 0.3):  # byzfl adds deviations, the paper takes them away
        yield {"name": "alie", "z": -z}, byzfl.ALittleIsEnough(z), 1.0
    yield {"name": "sign-flip", "knowledge": "all"}, byzfl.SignFlipping(), 1.0
    yield {"name": "mimic", "worker": 2}, byzfl.Mimic(2), 1.0
    yield {"name": "non-finite", "value": "inf"}, byzfl.Inf(), 1.0
    against: list[tuple[dict[str, Any], Any, list[Any]]] = [
        ({"name": "trimmed-mean", "f": f}, rules.TrMean(f), []),
        ({"name": "multi-krum", "f": f, "nearest": "n-f-1"}, rules.MultiKrum(f), []),
        ({"name": "mean", "before": [{"name": "clipping", "radius": 2.0}]}, rules.Average(), [2.0]),
        ({"name": "median", "before": [{"name": "nnm", "f": f}]}, rules.Median(), [None]),
    ]
    for named, rule, clip in against:
        first = [before.NNM(f) if radius is None else before.Clipping(radius) for radius in clip]
        options = {"agg": rule, "pre_agg_list": first, "f": f}
        search = {"against": named, "evaluations": 20}
        yield {"name": "optimal-ipm", **search}, byzfl.Optimal_InnerProductManipulation(**options), 1.0
        yield {"name": "optimal-alie", **search}, byzfl.Optimal_ALittleIsEnough(**options), -1.0
        short = {"against": named, "evaluations": 7, "start": 0.5, "step": 1.0, "shrink": 0.6}
        options |= {"evals": 7, "start": 0.5, "delta": 1.0, "ratio": 0.6}
        yield {"name": "optimal-ipm", **short}, byzfl.Optimal_InnerProductManipulation(**options), 1.0


def rounded(value: Any) -> Any:
    """Lists of numbers with 10 digits each."""
    return [rounded(part) for part in value] if isinstance(value, list) else float(f"{value:.10g}")


def main() -> None:
    """Ask byzfl everything, and write it down."""
    aggregators, before, byzantine = import_byzfl()
    given = {name: np.array(rounded(stack.tolist())) for name, stack in stacks().items()}
    answers: dict[str, list[dict[str, Any]]] = {"rules": [], "before": [], "monna": [], "attacks": []}
    for name, vectors in given.items():
        n = len(vectors)
        for f in (0, 1, 3):
            np.random.seed(0)
            for named, rule in rules(aggregators, f, n):
                answer = rule(vectors.copy()).tolist()
                answers["rules"].append({"stack": name, "rule": named, "vector": rounded(answer)})
            for named, rule in pre_aggregators(before, f):
                answer = rule(vectors.copy()).tolist()
                answers["before"].append({"stack": name, "rule": named, "vectors": rounded(answer)})
            for own in (0, n - 1):
                answer = aggregators.MoNNA(f, own)(vectors.copy()).tolist()
                answers["monna"].append({"stack": name, "f": f, "own": own, "vector": rounded(answer)})
        for f, named in ((2, {"name": "trimmed-mean", "f": 2}), (1, {"name": "multi-krum", "f": 1})):
            rule = aggregators.TrMean(f) if named["name"] == "trimmed-mean" else aggregators.MultiKrum(f)
            mixed = rule(before.NNM(f)(before.ARC(f)(vectors.copy()))).tolist()
            scores = {"nearest": "n-f-1"} if named["name"] == "multi-krum" else {}
            both = {**named, **scores, "before": ["arc", "nnm"]}
            answers["rules"].append({"stack": name, "rule": both, "vector": rounded(mixed)})
        for size in (2, 3):
            np.random.seed(size)
            order = np.random.permutation(n).tolist()
            np.random.seed(size)
            answer = before.Bucketing(size)(vectors.copy()).tolist()
            named = {"name": "bucketing", "size": size}
            answers["before"].append(
                {"stack": name, "rule": named, "order": order, "vectors": rounded(answer)}
            )
        for named, attack, sign in attacks(byzantine, aggregators, before, 2):
            vector = (sign * attack(sign * vectors)).tolist()
            answers["attacks"].append({"stack": name, "attack": named, "f": 2, "vector": rounded(vector)})
    content = {
        "made by": "make_byzfl_numbers.py with byzfl 0.0.11",
        "stacks": {name: rounded(stack.tolist()) for name, stack in given.items()},
        **answers,
    }
    (HERE / "byzfl-numbers.json").write_text(json.dumps(content, indent=None) + "\n", encoding="utf-8")
    print({name: len(cases) for name, cases in answers.items()})


if __name__ == "__main__":
    main()
