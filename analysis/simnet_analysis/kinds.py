"""Every kind of figure by name: what it shows in one line, and the function that draws it.

A kind's function takes the runs (or one run, with ``each=True``) and options by keyword, and returns the
figure. Its keywords are what ``simnet plot KIND`` lets people set; those that the command line knows are in
``OPTIONS``. To add a kind: write the function in a file of its own, and a line here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import Any

OPTIONS = ("metric", "target", "of", "x", "axes", "y", "baseline", "band", "links", "nodes", "end", "width")
"""The keywords of kinds' functions that the command line can give."""


@dataclass(frozen=True)
class Kind:
    """A kind of figure."""

    help: str
    """One line."""
    place: str
    """module:function."""
    each: bool = False
    """Whether it draws one run, and so is drawn for each."""

    @property
    def function(self) -> Callable[..., Any]:
        """What draws it; imported now."""
        module, _, name = self.place.partition(":")
        found: Callable[..., Any] = getattr(import_module(module), name)
        return found

    @property
    def options(self) -> tuple[str, ...]:
        """The keywords that it takes, of ``OPTIONS``."""
        return tuple(name for name in signature(self.function).parameters if name in OPTIONS)


KINDS: dict[str, Kind] = {
    "curves": Kind(
        "a metric against time, steps, bytes, dollars or kWh: mean and band over seeds",
        "simnet_analysis.curves:loss_figure",
    ),
    "target": Kind(
        "time, bytes, steps, dollars or kWh to a target: a bar per method",
        "simnet_analysis.target_bars:target_figure",
    ),
    "speedup": Kind(
        "times faster than a baseline over a swept key, with crossovers",
        "simnet_analysis.speedup:speedup_figure",
    ),
    "heatmap": Kind("who wins where, over two swept keys", "simnet_analysis.heatmap:winners_figure"),
    "pareto": Kind(
        "bytes against time to a target, and which methods none beats in both",
        "simnet_analysis.pareto:pareto_figure",
    ),
    "scaling": Kind("throughput over the number of workers", "simnet_analysis.scaling:scaling_figure"),
    "utilization": Kind(
        "what the workers' time goes to: computing, sending, waiting, idle",
        "simnet_analysis.breakdown:breakdown_figure",
    ),
    "staleness": Kind("how old gradients are", "simnet_analysis.staleness:staleness_figure"),
    "consensus": Kind(
        "how far the workers' models are from each other", "simnet_analysis.consensus:consensus_figure"
    ),
    "attacks": Kind(
        "the final metric of each method under each attack", "simnet_analysis.attack_map:attack_figure"
    ),
    "goodput": Kind(
        "what the nodes' computing was good for: useful, wasted, undone, stalled",
        "simnet_analysis.goodput:goodput_figure",
    ),
    "availability": Kind(
        "for which share of the time each node was up", "simnet_analysis.availability:availability_figure"
    ),
    "faults": Kind(
        "what went wrong when, over the course of the run",
        "simnet_analysis.fault_timeline:fault_timeline_figure",
        each=True,
    ),
    "timeline": Kind(
        "what each node computes, sends and waits for", "simnet_analysis.timeline:timeline_figure", each=True
    ),
    "links": Kind("how full each link was over time", "simnet_analysis.link_use:link_use_figure", each=True),
    "map": Kind(
        "the network of a run, with its bottlenecks", "simnet_analysis.run_map:run_map_figure", each=True
    ),
}
"""The kinds of figures, in the order of ``simnet plot --help``."""
