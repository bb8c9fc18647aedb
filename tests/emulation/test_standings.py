"""What the driver knows of all hosts, those that were killed too."""

from math import inf
from typing import Any, cast

from simnet.emulation.standings import Host, Standings
from simnet.scenario import StopConfig


def test_bytes_of_processes_that_were_killed_count_and_steps_go_on() -> None:
    """A process that is started again counts its bytes from 0, and its steps from where it was."""
    standings = Standings(StopConfig.model_validate({"bytes": "10 B"}), inf)

    def host(name: str, **standing: Any) -> Host:
        found = Host(name, cast("Any", None), 0, 0, standing=standing)
        standings.hosts[name] = found
        return found

    host("a", bytes=3.0, steps=2)
    standings.kill(host("b", bytes=4.0, steps=5))
    del standings.hosts["b"]
    assert (standings.bytes_sent, standings.steps) == (7.0, 7)
    host("b")  # it has only just come back
    assert (standings.bytes_sent, standings.steps) == (7.0, 7)
    standings.kill(host("b", bytes=1.0, steps=6))
    host("b", bytes=2.0, steps=8)
    assert (standings.bytes_sent, standings.steps) == (10.0, 10)
