"""Ways to combine vectors of which some may be lies: pure functions over a stack `[n, d]`, one file each.

    from simnet.aggregation import Krum, NearestNeighbourMixing, build_aggregation
    rule = Krum(f=2, before=(NearestNeighbourMixing(),))
    rule = build_aggregation({"name": "krum", "f": 2, "before": ["nnm"]})    # the same
    answer = rule.combine(vectors)           # answer.vector, answer.weights, answer.kept, answer.flops

Rules for equal vectors (`Aggregation`) are for a server or the root of a collective; at a gossip node they
take the own vector and the neighbours' alike. `update(own, neighbours)` is what all rules have.
"""

from simnet.aggregation.bridge import Bridge
from simnet.aggregation.bucketing import Bucketing
from simnet.aggregation.bulyan import Bulyan
from simnet.aggregation.caf import CovarianceFilter
from simnet.aggregation.centred_clipping import CentredClipping
from simnet.aggregation.clipping import AdaptiveRobustClipping, Clipping
from simnet.aggregation.coordinates import Meamed, Median, TrimmedMean
from simnet.aggregation.fltrust import FLTrust
from simnet.aggregation.geometric_median import GeometricMedian
from simnet.aggregation.krum import Krum, MultiKrum
from simnet.aggregation.mean import Mean
from simnet.aggregation.monna import Monna
from simnet.aggregation.nnm import NearestNeighbourMixing
from simnet.aggregation.pre_aggregation import Mixture, PreAggregation
from simnet.aggregation.registry import (
    AggregationConfig,
    GossipRuleConfig,
    aggregations,
    build_aggregation,
    build_gossip_rule,
    gossip_rules,
)
from simnet.aggregation.rule import (
    Aggregate,
    Aggregation,
    Context,
    GossipRule,
    PreAggregationConfig,
    pre_aggregations,
)
from simnet.aggregation.self_centred_clipping import SelfCentredClipping
from simnet.aggregation.sign_vote import SignVote
from simnet.aggregation.subsets import MinimumDiameter, SmallestEigenvalue
from simnet.aggregation.ubar import Ubar

__all__ = [
    "AdaptiveRobustClipping",
    "Aggregate",
    "Aggregation",
    "AggregationConfig",
    "Bridge",
    "Bucketing",
    "Bulyan",
    "CentredClipping",
    "Clipping",
    "Context",
    "CovarianceFilter",
    "FLTrust",
    "GeometricMedian",
    "GossipRule",
    "GossipRuleConfig",
    "Krum",
    "Meamed",
    "Mean",
    "Median",
    "MinimumDiameter",
    "Mixture",
    "Monna",
    "MultiKrum",
    "NearestNeighbourMixing",
    "PreAggregation",
    "PreAggregationConfig",
    "SelfCentredClipping",
    "SignVote",
    "SmallestEigenvalue",
    "TrimmedMean",
    "Ubar",
    "aggregations",
    "build_aggregation",
    "build_gossip_rule",
    "gossip_rules",
    "pre_aggregations",
]
