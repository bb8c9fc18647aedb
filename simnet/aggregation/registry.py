"""Rules by name, and the types that other models use for a field that holds one."""

from typing import Annotated

from simnet.aggregation.bridge import Bridge
from simnet.aggregation.bulyan import Bulyan
from simnet.aggregation.caf import CovarianceFilter
from simnet.aggregation.centred_clipping import CentredClipping
from simnet.aggregation.coordinates import Meamed, Median, TrimmedMean
from simnet.aggregation.fltrust import FLTrust
from simnet.aggregation.geometric_median import GeometricMedian
from simnet.aggregation.krum import Krum, MultiKrum
from simnet.aggregation.mean import Mean
from simnet.aggregation.monna import Monna
from simnet.aggregation.named import ByName
from simnet.aggregation.rule import Aggregation, GossipRule
from simnet.aggregation.self_centred_clipping import SelfCentredClipping
from simnet.aggregation.sign_vote import SignVote
from simnet.aggregation.subsets import MinimumDiameter, SmallestEigenvalue
from simnet.aggregation.ubar import Ubar

aggregations: dict[str, type[Aggregation]] = {
    kind.name: kind
    for kind in (
        Mean,
        Median,
        TrimmedMean,
        Meamed,
        Krum,
        MultiKrum,
        Bulyan,
        GeometricMedian,
        MinimumDiameter,
        SmallestEigenvalue,
        CovarianceFilter,
        CentredClipping,
        SignVote,
        FLTrust,
    )
}
"""Every rule for equal vectors that a scenario can name. Add your own class under its name."""

gossip_rules: dict[str, type[GossipRule]] = {
    kind.name: kind for kind in (SelfCentredClipping, Bridge, Ubar, Monna)
}
"""Every rule that tells a node's own vector from its neighbours'. Add your own class under its name."""

_aggregation = ByName("aggregation", aggregations)
_gossip_rule = ByName("gossip rule", gossip_rules, aggregations)

AggregationConfig = Annotated[Aggregation, _aggregation]
"""Type of a field that holds a rule for equal vectors: a name, a mapping with `name`, or an instance."""

GossipRuleConfig = Annotated[GossipRule, _gossip_rule]
"""Type of a field that holds any rule that a gossip node can use, those for equal vectors among them."""


def build_aggregation(given: object) -> Aggregation:
    """A rule for equal vectors from a name, a mapping with `name` and options, or an instance, which passes.

    Raises `pydantic.ValidationError` for an unknown name (with the nearest one), an unknown option or an
    impossible value.
    """
    built = _aggregation.build(given)
    assert isinstance(built, Aggregation)
    return built


def build_gossip_rule(given: object) -> GossipRule:
    """Any rule that a gossip node can use, as `build_aggregation` does it."""
    built = _gossip_rule.build(given)
    assert isinstance(built, GossipRule)
    return built
