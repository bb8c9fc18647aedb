from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, nan
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from simnet.results import ResultsError, Run
from simnet_analysis import loss_figure, save_figure
from simnet_analysis.curves import curve
from simnet_analysis.groups import group_runs
from simnet_analysis.style import SHIPPED

MakeRun = Callable[..., Run]


def decay(
    rate: float, end: float = 1800.0, bytes_per_step: float = 1e6
) -> list[tuple[float, float, float, float]]:
    times = [end * number / 20 for number in range(21)]
    return [(time, time / 10, bytes_per_step * time / 10, 2 + 3 * exp(-rate * time)) for time in times]


def lines(figure: Figure, panel: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Data by colour of what was drawn, without the target."""
    drawn = [line for line in figure.axes[panel].lines if len(line.get_xdata()) > 2]  # type: ignore[arg-type]
    return {to_hex(line.get_color()).upper(): line.get_data() for line in drawn}  # type: ignore[misc]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_three_panels_have_labels_with_units_and_the_data(make_run: MakeRun) -> None:
    figure = loss_figure([make_run("diloco", decay(0.01)), make_run("allreduce", decay(0.001))], target=2.5)
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "virtual time (min)",
        "local steps (mean per worker)",
        "data sent, all workers (MB)",
    ]
    assert figure.axes[0].get_ylabel() == "held-out loss"
    assert legend(figure) == ["diloco", "allreduce", "target 2.5"]
    for panel, ends in enumerate((30.0, 180.0, 180.0)):
        x, y = lines(figure, panel)[SHIPPED["diloco"].color]
        assert x[-1] == pytest.approx(ends)
        assert y == pytest.approx([row[3] for row in decay(0.01)])
        assert figure.axes[panel].get_xscale() == "linear"


@pytest.mark.parametrize(
    ("end", "label", "last"),
    [
        (90.0, "virtual time (s)", 90.0),
        (1800.0, "virtual time (min)", 30.0),
        (86400.0, "virtual time (h)", 24.0),
        (86400.0 * 5, "virtual time (days)", 5.0),
    ],
)
def test_time_has_the_unit_that_fits(make_run: MakeRun, end: float, label: str, last: float) -> None:
    figure = loss_figure([make_run("diloco", decay(0.01, end))])
    assert figure.axes[0].get_xlabel() == label
    assert lines(figure, 0)[SHIPPED["diloco"].color][0][-1] == pytest.approx(last)


def test_axes_are_logarithmic_where_methods_lie_far_apart(make_run: MakeRun) -> None:
    runs = [
        make_run("diloco", decay(0.01, bytes_per_step=1e6)),
        make_run("allreduce", decay(0.01, bytes_per_step=5e8)),
    ]
    figure = loss_figure(runs)
    assert [axes.get_xscale() for axes in figure.axes] == ["linear", "linear", "log"]
    x, _ = lines(figure, 2)[SHIPPED["diloco"].color]
    assert len(x) == 20  # the evaluation at zero bytes has no place
    assert figure.axes[2].get_xlabel() == "data sent, all workers (GB)"


def test_a_loss_that_falls_by_orders_of_magnitude_is_drawn_on_a_logarithmic_axis(make_run: MakeRun) -> None:
    run = make_run("diloco", [(60.0 * i, i, i, 10.0**-i) for i in range(9)])
    assert loss_figure([run]).axes[0].get_yscale() == "log"


def test_seeds_become_a_mean_and_a_band_and_the_legend_says_so(make_run: MakeRun) -> None:
    low = make_run("diloco", [(0.0, 0, 0, 4.0), (60.0, 6, 6, 2.0), (120.0, 12, 12, 1.0)], seed=0)
    high = make_run("diloco", [(0.0, 0, 0, 4.0), (30.0, 3, 3, 4.0), (60.0, 6, 6, 4.0)], seed=1)
    one = curve(group_runs([low, high])[0])
    assert one.x.tolist() == [0.0, 30.0, 60.0]  # as far as both go
    assert one.mean.tolist() == [4.0, 3.5, 3.0]
    assert one.low.tolist() == [4.0, 3.0, 2.0]
    assert one.high.tolist() == [4.0, 4.0, 4.0]
    figure = loss_figure([low, high])
    assert figure.legends[0].get_title().get_text() == "line: mean of 2 seeds; band: least to largest"
    assert len(figure.axes[0].collections) == 1
    assert loss_figure([low]).legends[0].get_title().get_text() == ""


@pytest.mark.parametrize("bad", [nan, inf])
def test_diverged_runs_are_shown_and_called_so(make_run: MakeRun, bad: float) -> None:
    broken = [*decay(0.01)[:5], (900.0, 90.0, 9e7, 1e30), (1800.0, 180.0, 1.8e8, bad)]
    figure = loss_figure([make_run("fedavg", broken), make_run("diloco", decay(0.01))])
    assert legend(figure) == ["fedavg (diverged)", "diloco"]
    bottom, top = figure.axes[0].get_ylim()
    assert bottom < 2.1
    assert top < 10  # the explosion does not flatten the other
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert [(list(c.get_xdata()), list(c.get_ydata())) for c in crosses] == [([15.0], [top])]  # type: ignore[arg-type]


def test_a_run_that_never_was_finite_is_in_the_legend(make_run: MakeRun) -> None:
    figure = loss_figure([make_run("fedavg", [(0.0, 0.0, 0.0, nan)])])
    assert legend(figure) == ["fedavg (diverged)"]
    save_figure(figure, make_run("x", decay(0.1)).folder / "figure", formats=["png"])


def test_a_single_evaluation_is_a_visible_point(make_run: MakeRun) -> None:
    figure = loss_figure([make_run("diloco", [(60.0, 5.0, 1e6, 3.0)])])
    (line,) = figure.axes[0].lines
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([60.0], [3.0])  # type: ignore[arg-type]
    assert line.get_marker() == SHIPPED["diloco"].marker
    assert line.get_markevery() == [0]


def test_accuracy_is_in_percent(make_run: MakeRun) -> None:
    rows = [(60.0 * i, i, i, i / 10) for i in range(10)]
    figure = loss_figure([make_run("diloco", rows, metric="accuracy")], "accuracy")
    assert figure.axes[0].get_ylabel() == "held-out accuracy (%)"
    figure.canvas.draw()
    assert "80" in [tick.get_text() for tick in figure.axes[0].get_yticklabels()]


@pytest.mark.parametrize("width", ["page", "column", 5.5])
@pytest.mark.parametrize("methods", [1, 4, 9])
def test_nothing_is_clipped_and_no_text_overlaps(make_run: MakeRun, width: str | float, methods: int) -> None:
    names = [*SHIPPED, "my own method of compression", "x"][:methods]
    runs = [
        make_run(name, decay(0.001 * (i + 1), bytes_per_step=10.0 ** (4 + i)), seed=seed)
        for i, name in enumerate(names)
        for seed in (0, 1)
    ]
    figure = loss_figure(runs, width=width, target=2.5)
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    texts = [
        t for t in figure.findobj(Text) if isinstance(t, Text) and t.get_visible() and t.get_text().strip()
    ]
    shown = {"label": [], "tick": []}  # type: ignore[var-annotated]
    page = figure.bbox
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            drawn = [
                t.label1
                for t in axis.get_major_ticks()
                if t.label1.get_visible() and t.label1.get_text() and low <= t.get_loc() <= high
            ]
            shown["tick"] += drawn
            shown["label"].append(axis.label)
    relevant = [t for t in [*shown["tick"], *shown["label"]] if t.get_text()]
    relevant += figure.legends[0].get_texts()
    assert len(texts) >= len(relevant)
    boxes = [t.get_window_extent(renderer) for t in relevant]
    for text, box in zip(relevant, boxes, strict=True):
        assert box.x0 >= page.x0 - 0.5, text
        assert box.x1 <= page.x1 + 0.5, text
        assert box.y0 >= page.y0 - 0.5, text
        assert box.y1 <= page.y1 + 0.5, text
    for i, one in enumerate(boxes):
        for j in range(i):
            assert not one.overlaps(boxes[j]), (relevant[i], relevant[j])


def test_what_cannot_be_drawn_is_refused(make_run: MakeRun) -> None:
    run = make_run("diloco", decay(0.01))
    for width in ("huge", 0, -3.0):
        with pytest.raises(ValueError, match="width"):
            loss_figure([run], width=width)
    with pytest.raises(ValueError, match="axes"):
        loss_figure([run], axes=[])
    with pytest.raises(ValueError, match="band"):
        loss_figure([run], band="wide")
    with pytest.raises(ResultsError, match="no metric 'cost'"):
        loss_figure([run], axes=["cost"])
    with pytest.raises(ResultsError, match=r"dollars cannot be told without dollars_per_hour"):
        loss_figure([run], axes=["dollars"])
    with pytest.raises(ResultsError, match="accuracy"):
        loss_figure([run], "accuracy")
    with pytest.raises(ResultsError, match="no runs"):
        loss_figure([])


def test_saved_figures_are_the_same_bytes_each_time(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("diloco", decay(0.01))
    formats = ("png", "pdf", "svg")
    one = save_figure(loss_figure([run]), tmp_path / "deep" / "one", formats)
    two = save_figure(loss_figure([run]), tmp_path / "deep" / "two.png", formats)
    assert [path.name for path in one] == ["one.png", "one.pdf", "one.svg"]
    assert [path.name for path in two] == ["two.png", "two.pdf", "two.svg"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    assert len(list((tmp_path / "deep").iterdir())) == 6
    assert b"Date" not in one[0].read_bytes()


def test_saving_says_what_is_wrong(make_run: MakeRun, tmp_path: Path) -> None:
    figure = loss_figure([make_run("diloco", decay(0.01))])
    (tmp_path / "file").write_text("x")
    with pytest.raises(ResultsError, match="cannot write the figure"):
        save_figure(figure, tmp_path / "file" / "figure")
    with pytest.raises(ValueError, match="gif"):
        save_figure(figure, tmp_path / "figure", ["gif"])
