"""Random pair gossip: pairings that are a tournament, and what it equals."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simnet.algorithms.gossip import Gossip, partner_of, rounds
from simnet.algorithms.local_sgd import LocalSGD


@given(st.integers(1, 41))
def test_in_a_tournament_everybody_meets_everybody_once(workers: int) -> None:
    met = set()
    for turn in range(rounds(workers)):
        partners = [partner_of(rank, workers, turn) for rank in range(workers)]
        assert partners.count(None) == workers % 2
        for rank, partner in enumerate(partners):
            if partner is not None:
                assert partner != rank
                assert partners[partner] == rank  # both know it
                met.add((rank, partner))
    assert len(met) == workers * (workers - 1)


@pytest.mark.parametrize("local_steps", [1, 3])
def test_two_workers_do_local_sgd(simulate, local_steps: int) -> None:
    two = {"network.topology": {"kind": "star", "nodes": 2}}
    gossip = simulate(Gossip(local_steps=local_steps), two)
    averaging = simulate(LocalSGD(local_steps=local_steps), two)
    for name, node in averaging.run.nodes.items():
        assert torch.equal(gossip.run.nodes[name].params, node.params)


@pytest.mark.parametrize("workers", [4, 5])
def test_bytes_and_mean(simulate, workers: int) -> None:
    steps = 6
    simulated = simulate(
        Gossip(),
        {
            "network.topology": {"kind": "star", "nodes": workers},
            "task.charge_as": {"parameters": "1M"},
            "stop": {"steps": steps},
        },
    )
    assert simulated.outcome.bytes_sent == pytest.approx(steps * 2 * (workers // 2) * 4e6)


def test_pairings_differ_from_round_to_round_and_with_the_seed(simulate) -> None:
    def partners(seed: int) -> list[tuple[str, str]]:
        eight = {"network.topology": {"kind": "star", "nodes": 8}, "stop": {"steps": 12}, "seed": seed}
        sent = simulate(Gossip(), eight).recorder.tables()["transfers"].to_pylist()
        return [(row["source"], row["target"]) for row in sent if row["source"] == "n0"]

    assert len(set(partners(0))) > 3
    assert partners(0) != partners(1)
    assert partners(0) == partners(0)
