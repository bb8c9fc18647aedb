"""Dollars and kilowatt hours, by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simnet
from simnet.results import Manifest, Recorder, ResultsError, Run, read_run, write_run
from simnet.results.costs import _until, spent
from simnet.scenario import Scenario, ScenarioError

PRICES = {
    "nodes": [
        {"names": ["n0", "n1"], "dollars_per_hour": 3.6, "idle_watts": 100.0, "busy_watts": 300.0},
        {"names": ["server"], "dollars_per_hour": 0.0, "idle_watts": 10.0, "busy_watts": 10.0},
    ],
    "links": [
        {"names": ["n0->hub"], "dollars_per_gb": 0.5},
        {"names": ["hub->n1"], "dollars_per_gb": 0.0},
    ],
}


@pytest.fixture
def write(tmp_path: Path, fields: dict[str, Any]) -> Callable[[dict[str, Any]], Run]:
    """A run of 100 s: n0 computes from 0 to 40 s, n1 from 20 to 40 s, and 2 GB leave n0 from 50 to 60 s."""

    def make(prices: dict[str, Any]) -> Run:
        recorder = Recorder()
        for time in (0.0, 20.0, 55.0, 100.0):
            recorder.metric(time, "", int(time), "loss", 5 - time / 25)
        recorder.span("n0", "compute", "train", 0.0, 40.0)
        recorder.span("n1", "compute", "train", 20.0, 40.0)
        recorder.span("n1", "wait", "recv", 40.0, 100.0)
        recorder.links(["n0->hub", "hub->n1"], [50.0, 50.0], [60.0, 60.0], [2e9, 2e9], [4e9, 4e9])
        own = {**fields, "virtual_seconds": 100.0, "prices": prices}
        return read_run(write_run(tmp_path / "run", recorder, "name: made\n", Manifest(**own)))

    return make


def test_dollars_by_hand(write: Callable[..., Run]) -> None:
    run = write(PRICES)
    # Rent: 7.2 dollars an hour are 0.002 a second. Egress: 2 GB at 0.5, half of it by 55 s.
    assert spent(run, "dollars", [0.0, 20.0, 55.0, 100.0]) == pytest.approx([0, 0.04, 0.11 + 0.5, 0.2 + 1.0])
    assert run.spent("dollars") == run.final("dollars") == pytest.approx(1.2)
    assert list(run.against("loss", "dollars")["x"]) == pytest.approx([0, 0.04, 0.61, 1.2])


def test_kilowatt_hours_by_hand(write: Callable[..., Run]) -> None:
    run = write(PRICES)
    # Idle: 210 W. On top of it 200 W for 40 s of n0 and for 20 s of n1.
    joules = [0.0, 210 * 20 + 200 * 20, 210 * 55 + 200 * 60, 210 * 100 + 200 * 60]
    assert spent(run, "kwh", [0.0, 20.0, 55.0, 100.0]) == pytest.approx([j / 3.6e6 for j in joules])
    assert run.spent("kwh") == pytest.approx(33_000 / 3.6e6)


@pytest.mark.parametrize(
    ("prices", "quantity", "message"),
    [
        ({}, "dollars", "dollars_per_hour of the workers"),
        ({}, "kwh", "idle_watts and busy_watts of the workers"),
        ({"nodes": PRICES["nodes"]}, "dollars", r"dollars_per_gb of n0->hub, hub->n1 .network\.link"),
        ({**PRICES, "links": PRICES["links"][:1]}, "dollars", "dollars_per_gb of hub->n1"),
        ({"nodes": [{"names": ["n0"], "idle_watts": 3.0}]}, "kwh", "busy_watts of n0"),
        (
            {"nodes": [PRICES["nodes"][0], {"names": ["server"]}]},
            "dollars",
            r"server\.costs",
        ),
    ],
)
def test_a_price_that_is_missing_is_an_error(
    write: Callable[..., Run], prices: dict[str, Any], quantity: str, message: str
) -> None:
    with pytest.raises(ResultsError, match=message):
        write(prices).spent(quantity)


def test_energy_needs_no_price_of_links(write: Callable[..., Run]) -> None:
    assert write({"nodes": PRICES["nodes"]}).spent("kwh") > 0
    with pytest.raises(ValueError, match="not one of"):
        spent(write(PRICES), "euros", [1.0])


@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9), st.floats(0, 100)), max_size=8),
    st.lists(st.floats(0, 40), min_size=1, max_size=5),
)
def test_what_comes_evenly_adds_up(parts: list[tuple[int, int, float]], times: list[float]) -> None:
    def one_by_one(t: float) -> float:
        total = 0.0
        for start, length, amount in parts:
            share = (t - start) / length if length else float(t >= start)
            total += amount * min(1.0, max(0.0, share))
        return total

    start = np.array([float(a) for a, _, _ in parts])
    end = np.array([float(a + length) for a, length, _ in parts])
    amount = np.array([amount for _, _, amount in parts])
    assert _until(times, start, end, amount) == pytest.approx([one_by_one(t) for t in times], abs=1e-9)


COSTS = {"dollars_per_hour": 36.0, "idle_watts": 100.0, "busy_watts": 200.0}


def priced(small: Callable[..., dict[str, Any]], **changes: Any) -> Scenario:
    base = {
        "network.link": {"bandwidth": "100 Mbps", "latency": "5 ms", "dollars_per_gb": 2.0},
        "workers": [{"device": "cpu", "costs": COSTS}],
        "task.charge_as": {"parameters": "1M"},
    }
    return Scenario.model_validate(small({**base, **changes}))


def test_every_message_on_a_star_is_paid_once(small: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (run,) = simnet.run(priced(small), tmp_path)
    seconds = run.manifest.virtual_seconds
    assert run.spent("dollars") == pytest.approx(
        4 * 36 * seconds / 3600 + 2.0 * run.manifest.bytes_sent / 1e9
    )
    busy = run.manifest.utilization * 4 * seconds
    assert run.spent("kwh") == pytest.approx((100 * 4 * seconds + 100 * busy) / 3.6e6)


def test_prices_change_nothing_but_costs(small: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (with_prices,) = simnet.run(priced(small), tmp_path)
    plain = {"bandwidth": "100 Mbps", "latency": "5 ms"}
    (without,) = simnet.run(priced(small, workers=[{"device": "cpu"}], **{"network.link": plain}), tmp_path)
    for table in ("metrics", "transfers", "spans", "links"):
        name = f"{table}.parquet"
        assert (with_prices.folder / name).read_bytes() == (without.folder / name).read_bytes()
    assert without.manifest.prices == {}


def test_a_device_has_costs_and_its_workers_may_say_others(
    small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    device = {"flops": "1 TFLOP/s", "achieved": 0.5, "costs": COSTS}
    groups = [
        {"count": 3, "device": device},
        {"count": 1, "device": device, "costs": {"dollars_per_hour": 0}},
    ]
    (run,) = simnet.run(priced(small, workers=groups), tmp_path)
    assert run.manifest.prices["nodes"] == [
        {"names": ["n0", "n1", "n2"], **COSTS},
        {"names": ["n3"], **COSTS, "dollars_per_hour": 0.0},
    ]


def test_between_sites_both_the_host_and_the_site_pay(
    small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    links = [
        {"between": ["a", "x"], "dollars_per_gb": 1.0},
        {"between": ["b", "y"], "dollars_per_gb": 0.0},
        {"between": ["x", "y"], "dollars_per_gb": 10.0},
    ]
    switches = [{"name": name, "switch": True} for name in "xy"]
    topology = {"kind": "explicit", "nodes": ["a", "b", *switches], "links": links}
    network = {"topology": topology, "link": {"bandwidth": "100 Mbps", "latency": "5 ms"}}
    (run,) = simnet.run(priced(small, network=network), tmp_path)
    carried = run.links.groupby("resource")["bytes"].sum()
    egress = 1.0 * carried["a->x"] + 10.0 * (carried["x->y"] + carried["y->x"])
    rent = 2 * 36 * run.manifest.virtual_seconds / 3600
    assert run.spent("dollars") == pytest.approx(rent + egress / 1e9)


def test_expectations_know_costs_and_miss_prices_before_anything_runs(
    small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    from simnet.plan import plans

    lines = ("dollars(allreduce) > 0", "kwh(allreduce) < 1")
    assert plans(priced(small, expect=lines))
    for key in ("dollars_per_hour", "busy_watts"):
        costs = {name: value for name, value in COSTS.items() if name != key}
        with pytest.raises(ScenarioError, match=rf"cannot be told(.|\n)*{key} of n0"):
            plans(priced(small, expect=lines, workers=[{"device": "cpu", "costs": costs}]))
    with pytest.raises(ValueError, match="less than idle_watts"):
        priced(small, workers=[{"device": "cpu", "costs": {**COSTS, "busy_watts": 1}}])
