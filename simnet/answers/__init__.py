"""Answers: which method, where, from runs that are searched for rather than listed.

`crossover` finds where two methods swap places along an axis; `recommend` ranks methods for a network and a
deadline. Runs are those of a batch: finished ones are not run again.
"""

from simnet.answers.crossover import Crossover, find_crossover
from simnet.answers.measure import Measure, read_measure
from simnet.answers.recommend import Recommendation, recommend
from simnet.answers.search import Cost, Search, SearchError
from simnet.answers.span import Span, read_span

__all__ = [
    "Cost",
    "Crossover",
    "Measure",
    "Recommendation",
    "Search",
    "SearchError",
    "Span",
    "find_crossover",
    "read_measure",
    "read_span",
    "recommend",
]
