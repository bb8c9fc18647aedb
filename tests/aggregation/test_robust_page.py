"""The page about rules and attacks knows all of them."""

from pathlib import Path

from simnet.aggregation import aggregations, gossip_rules, pre_aggregations
from simnet.faults.attacks import attacks

PAGE = (Path(__file__).parents[2] / "docs" / "robust-aggregation.md").read_text(encoding="utf-8")


def test_every_name_is_explained() -> None:
    for registry in (aggregations, gossip_rules, pre_aggregations, attacks):
        assert not {name for name in registry if f"`{name}`" not in PAGE}
