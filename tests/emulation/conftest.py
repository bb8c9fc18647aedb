"""Emulations run one after another, also with many test processes: they measure real time."""

import fcntl
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from simnet.emulation.doctor import missing_for
from simnet.emulation.driver import DriverName


@pytest.fixture(scope="session")
def _missing() -> dict[str, str]:
    drivers: tuple[DriverName, ...] = ("fabric", "mininet")
    return {name: ", ".join(capability.name for capability in missing_for(name)) for name in drivers}


@pytest.fixture
def _alone() -> Iterator[None]:
    with Path(tempfile.gettempdir(), "simnet-emulation-tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
def fabric_machine(_missing: dict[str, str], _alone: None) -> None:
    """A machine on which the fabric driver can run, and nothing else of this kind does."""
    if _missing["fabric"]:
        pytest.skip(f"the fabric driver needs {_missing['fabric']}: see simnet doctor")


@pytest.fixture
def mininet_machine(_missing: dict[str, str], _alone: None) -> None:
    """The same for the mininet driver."""
    if _missing["mininet"]:
        pytest.skip(f"the mininet driver needs {_missing['mininet']}: see simnet doctor")
