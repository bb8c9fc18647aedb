"""The figures of docs/pipelines.md: time to a fixed loss over bandwidth and over latency, and the timeline.

Loss per update does not depend on the network: not where a pipeline drains at every update, and not in
`nesterov-async` either, whose stages go through one fixed order of passes. So updates to the loss come from
runs that really learn (`pipeline/staleness` and `pipeline/compression`, three seeds each), seconds per update
from runs in which only time passes, and each figure shows products of the two:

    simnet run pipeline/staleness --results results
    simnet run pipeline/compression --results results
    simnet run pipeline/staleness --results results/fine --set evaluate.every="20 steps" --set stop.steps=200
    python bench/pipeline_figures.py results

The third run looks at the first 200 updates more often, since the synchronous pipeline is fast there.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

import simnet
from simnet.results import Run, read_runs
from simnet_analysis import save_figure, timeline_figure
from simnet_analysis.style import COLUMN_INCHES, MethodStyle, paper_style

IMAGES = Path(__file__).parents[1] / "docs" / "images"
Values = NDArray[np.float64]

BANDWIDTHS = np.geomspace(50e6, 100e9, 14)  # bits per second
LATENCIES = np.geomspace(1e-4, 0.3, 12)  # seconds
HOME_LATENCY = "20 ms"
COMPRESSION_TARGET = 2.5
STALENESS_TARGET = 2.87

BLUE = MethodStyle("#0072B2", "dash-dot", "^")
CODECS = {
    "dense": ("dense (bfloat16)", "bf16", MethodStyle("#000000", "solid", "o")),
    "int4": ("int4", "int4", MethodStyle("#E69F00", "dashed", "s")),
    "subspace": (
        "subspace, rank 1/8",
        "{name: subspace, rank: 128}",
        MethodStyle("#0072B2", "dash-dot", "^"),
    ),
}
METHODS = {
    "synchronous": ("synchronous", MethodStyle("#000000", "solid", "o")),
    "nesterov-async": ("nesterov-async", MethodStyle("#D55E00", "dashed", "s")),
    "nesterov-async-no-stash": ("nesterov-async, no stash", MethodStyle("#009E73", "dash-dot", "^")),
}

TIMED = """
name: timed
network:
  topology: {{kind: full-mesh, nodes: 8}}
  link: {{bandwidth: {bandwidth} bps, latency: {latency}}}
workers: {{}}
pipeline:
  stages: 8
  charge_as: {{samples: {samples}, tokens: 1024, width: 1024, forward: 0.375 ms, backward: 0.75 ms}}
task: {{name: synthetic, parameters: 184M, step_seconds: 72 ms}}
algorithms: [{method}]
stop: {{steps: {steps}}}
"""
"""A pipeline of 8 stages that is 1024 wide, of which only the time counts."""


def seconds_per_update(method: str, samples: int, bandwidth: float, latency: str, folder: Path) -> float:
    """Of a pipeline in its stride: what 24 updates take more than 16, for each of the 8."""
    ends = []
    for steps in (16, 24):
        scenario = folder / "timed.yaml"
        scenario.write_text(
            TIMED.format(method=method, samples=samples, bandwidth=bandwidth, latency=latency, steps=steps)
        )
        (run,) = simnet.run(scenario, folder / "results")
        ends.append(run.manifest.virtual_seconds)
    return (ends[1] - ends[0]) / 8


def updates_to(runs: Sequence[Run], label: str, target: float) -> list[float]:
    """Updates until each seed's held-out loss is at `target`, on the line between two evaluations."""
    found: dict[int, float] = {}
    for run in runs:
        if run.label != label:
            continue
        loss = run.against("loss", "steps")  # of each stage: its updates
        values, steps = loss["y"].to_numpy(), loss["x"].to_numpy()
        below = np.flatnonzero(values <= target)
        if not len(below):
            if run.manifest.seed not in found:
                found[run.manifest.seed] = np.inf
            continue
        last = int(below[0])
        share = (values[last - 1] - target) / (values[last - 1] - values[last])
        exact = float(steps[last - 1] + share * (steps[last] - steps[last - 1]))
        found[run.manifest.seed] = min(found.get(run.manifest.seed, np.inf), exact)
    return list(found.values())


def crossover(x: Values, first: Values, second: Values) -> tuple[float, float] | None:
    """Where two curves meet on logarithmic axes, or None where they do not."""
    gap = np.log(first) - np.log(second)
    for place in np.flatnonzero(np.sign(gap[:-1]) != np.sign(gap[1:])):
        share = gap[place] / (gap[place] - gap[place + 1])
        log_x = np.log(x[place]) + share * (np.log(x[place + 1]) - np.log(x[place]))
        log_y = np.log(first[place]) + share * (np.log(first[place + 1]) - np.log(first[place]))
        return float(np.exp(log_x)), float(np.exp(log_y))
    return None


def draw(axes: Axes, x: Values, curves: Mapping[str, tuple[Values, Values, Values, MethodStyle]]) -> None:
    """Curves with the range of the seeds around them; each name stands in the legend."""
    for name, (least, middle, most, style) in curves.items():
        axes.fill_between(x, least, most, color=style.color, alpha=0.15, linewidth=0)
        axes.plot(
            x, middle, color=style.color, linestyle=style.dashes, marker=style.marker, markevery=3, label=name
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(x[0], x[-1])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if axis is axes.yaxis else (1.0,), numticks=9))
        axis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
        axis.set_minor_formatter(NullFormatter())


def mark(axes: Axes, point: tuple[float, float], text: str, offset: tuple[float, float]) -> None:
    """A ring around a crossover, and what it is."""
    axes.plot(*point, marker="o", markersize=9, markerfacecolor="none", markeredgecolor="#444444", zorder=5)
    axes.annotate(
        text,
        point,
        textcoords="offset points",
        xytext=offset,
        fontsize=7,
        arrowprops={"arrowstyle": "-", "color": "#444444", "linewidth": 0.5, "shrinkB": 5},
    )


def spread(updates: Sequence[float], seconds: Values) -> tuple[Values, Values, Values]:
    """Least, mean and most time over the seeds."""
    return min(updates) * seconds, mean(updates) * seconds, max(updates) * seconds


def bandwidth_figure(runs: Sequence[Run], folder: Path) -> Figure:
    """Time to a loss over bandwidth, for three codecs."""
    curves = {}
    for label, (name, boundary, style) in CODECS.items():
        method = f"{{name: pipeline, microbatches: 8, boundary: {boundary}}}"
        seconds = np.array(
            [seconds_per_update(method, 8, bandwidth, HOME_LATENCY, folder) for bandwidth in BANDWIDTHS]
        )
        updates = updates_to(runs, label, COMPRESSION_TARGET)
        print(f"{label}: updates {updates}; s/update {seconds[0]:.3f} ... {seconds[-1]:.3f}")
        curves[name] = (*spread(updates, seconds), style)
    with paper_style():
        figure = Figure(figsize=(COLUMN_INCHES * 1.25, 2.7), layout="constrained")
        axes = figure.subplots()
        x = BANDWIDTHS / 1e6
        draw(axes, x, curves)
        axes.set_xlabel("bandwidth of each link (Mbit/s)")
        axes.set_ylabel(f"virtual time to loss {COMPRESSION_TARGET} (s)")
        dense = curves["dense (bfloat16)"][1]
        for name, offset in (("int4", (-12.0, 34.0)), ("subspace, rank 1/8", (-40.0, -30.0))):
            point = crossover(x, curves[name][1], dense)
            print(f"dense is first from: {name}: {point}")
            if point is not None:
                mark(axes, point, f"{name.split(',')[0]} = dense\n{point[0] / 1e3:.2g} Gbit/s", offset)
        axes.legend()
    return figure


def latency_figure(runs: Sequence[Run], folder: Path) -> Figure:
    """Time to a loss over latency: draining at every update against never draining."""
    curves = {}
    for label, (name, style) in METHODS.items():
        if label == "synchronous":  # 8 sequences per update, cut in 8
            method, samples = "{name: pipeline, microbatches: 8, boundary: bf16}", 1
        else:
            stash = "no-stash" not in label
            method, samples = f"{{name: nesterov-async, stash: {str(stash).lower()}, boundary: bf16}}", 8
        seconds = np.array(
            [seconds_per_update(method, samples, 10e9, f"{value} s", folder) for value in LATENCIES]
        )
        updates = updates_to(runs, label, STALENESS_TARGET)
        print(f"{label}: updates {updates}; s/update {seconds[0]:.4f} ... {seconds[-1]:.3f}")
        curves[name] = (*spread(updates, seconds), style)
    with paper_style():
        figure = Figure(figsize=(COLUMN_INCHES * 1.25, 2.7), layout="constrained")
        axes = figure.subplots()
        x = LATENCIES * 1e3
        draw(axes, x, curves)
        axes.set_xlabel("latency of each link (ms)")
        axes.set_ylabel(f"virtual time to loss {STALENESS_TARGET} (s)")
        synchronous = curves["synchronous"][1]
        for name, offset in (("nesterov-async", (24.0, -30.0)), ("nesterov-async, no stash", (-62.0, 44.0))):
            point = crossover(x, curves[name][1], synchronous)
            print(f"synchronous and {name} meet at: {point}")
            if point is not None:
                mark(axes, point, f"{name} =\nsynchronous, {point[0]:.2g} ms", offset)
        axes.legend()
    return figure


TIMELINE = """
name: timeline
network:
  topology: {kind: full-mesh, nodes: 4}
  link: {bandwidth: 200 Mbps, latency: 20 ms}
workers: {}
pipeline:
  stages: 4
  charge_as: {samples: 4, tokens: 512, width: 1024, forward: 50 ms, backward: 100 ms}
task: {name: synthetic, parameters: 100M, step_seconds: 0.6 s}
algorithms: [{name: pipeline, microbatches: 8, boundary: bf16}]
stop: {steps: 1}
"""


def main() -> None:
    """Draw all figures into docs/images."""
    runs = read_runs(sys.argv[1:])
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "timeline.yaml").write_text(TIMELINE)
        (run,) = simnet.run(folder / "timeline.yaml", folder / "results")
        save_figure(timeline_figure(run), IMAGES / "pipeline-timeline", ("png",))
        save_figure(bandwidth_figure(runs, folder), IMAGES / "pipeline-bandwidth", ("png",))
        save_figure(latency_figure(runs, folder), IMAGES / "pipeline-latency", ("png",))


if __name__ == "__main__":
    main()
