"""What all tests share: small scenarios, and the rule that nothing that could run is skipped in CI."""

import copy
import os
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch
from hypothesis import settings

from simnet.runtime.accounts import ACCOUNTS

torch.set_num_threads(1)

# No test is timed: the machine may be busy. In CI the examples are the same each time: a failure there can be
# had again here, with CI=true.
settings.register_profile("untimed", deadline=None)
settings.register_profile("ci", derandomize=True, deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "untimed")

SMALL: dict[str, Any] = {
    "name": "small",
    "seed": 0,
    "device": "cpu",
    "threads": 1,
    "network": {
        "topology": {"kind": "star", "nodes": 4},
        "link": {"bandwidth": "100 Mbps", "latency": "5 ms"},
    },
    "workers": [{"device": "cpu"}],
    "task": {
        "name": "classification",
        "dataset": "digits",
        "model": {"name": "mlp", "hidden": [16]},
        "batch_size": 16,
        "optimizer": {"name": "sgd", "lr": 0.1},
    },
    "algorithms": [{"name": "allreduce"}],
    "stop": {"steps": 6},
    "evaluate": {"every": "2 steps", "samples": 64},
}
"""Four workers on a star that learn digits: the smallest scenario that does everything."""


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with dotted keys set: `{"network.link.latency": "0 s"}`; None removes a key."""
    result = copy.deepcopy(base)
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        target = result
        for key in parents:
            target = target.setdefault(key, {})
        if value is None:
            target.pop(last, None)
        else:
            target[last] = value
    return result


@pytest.fixture(scope="session")
def small() -> Callable[..., dict[str, Any]]:
    """Makes a small scenario's mapping with dotted keys changed."""

    def make(changes: dict[str, Any] | None = None) -> dict[str, Any]:
        return merged(SMALL, changes or {})

    return make


@pytest.fixture
def without_accounts() -> Callable[[pa.Table], pa.Table]:
    """`without_accounts(table)` leaves out what nodes spent their time on.

    That is written down as soon as the scenario says that anything may go wrong.
    """

    def left(table: pa.Table) -> pa.Table:
        if "value" not in table.column_names:
            return table
        return table.filter(pc.invert(pc.is_in(table["name"], pa.array(ACCOUNTS))))

    return left


ALLOWED_SKIPS = ("needs a CUDA device",)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which tests were skipped although they should have run."""
    for report in _wrongly_skipped(terminalreporter):
        terminalreporter.write_line(
            f"SKIPPED WHERE IT SHOULD RUN: {report.nodeid}: {report.longrepr[2]}", red=True
        )


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Under SIMNET_NO_SKIPS a skipped test fails the run, unless the machine really cannot run it."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and session.exitstatus == 0 and _wrongly_skipped(reporter):
        session.exitstatus = 1


def _wrongly_skipped(reporter: Any) -> list[Any]:
    if not os.environ.get("SIMNET_NO_SKIPS"):
        return []
    return [
        report
        for report in reporter.stats.get("skipped", [])
        if not any(reason in str(report.longrepr[2]) for reason in ALLOWED_SKIPS)
    ]
