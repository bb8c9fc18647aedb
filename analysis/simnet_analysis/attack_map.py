"""Byzantine nodes: what each method comes to under each attack."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from simnet.results import ResultsError, Run, higher_is_better
from simnet_analysis.groups import leaves as leaves_of
from simnet_analysis.style import blank, paper_style


def attack_figure(runs: Iterable[Run], metric: str = "accuracy", *, width: str | float = "page") -> Figure:
    """A map of the final `metric` with a row per attack and a column per method.

    Each number is the mean over the seeds. Methods that come to the most on average stand on the left,
    attacks that do the least on top, and `honest`, which is no attack, above them. Runs that differ in
    something else, such as how the data are shared out, come in panels side by side. Colours are those of
    `cividis`, which all eyes can tell apart; a share such as an accuracy is shown in percent.

    Raises:
        ResultsError: No run has Byzantine nodes, or one of them has no such metric.
    """
    cells: dict[str, dict[tuple[str, str], list[float]]] = {}
    worlds: dict[str, Mapping[str, Any]] = {}
    attacks: list[str] = []
    labels: list[str] = []
    for run in runs:
        attack = attack_of(run)
        if attack is None:
            continue
        world = _without_attack(run.scenario)
        key = json.dumps(world, sort_keys=True, default=str)
        worlds[key] = world
        cells.setdefault(key, {}).setdefault((attack, run.label), []).append(run.final(metric))
        attacks += [attack] if attack not in attacks else []
        labels += [run.label] if run.label not in labels else []
    if not cells:
        raise ResultsError("no run has Byzantine nodes")
    found = [(place, value) for own in cells.values() for place, values in own.items() for value in values]
    sign = 1.0 if higher_is_better(metric) else -1.0

    def worst(name: str, part: int) -> tuple[bool, float]:
        own = [value for place, value in found if place[part] == name and isfinite(value)]
        return name != "honest", -sign * float(np.mean(own)) if own else np.inf

    attacks.sort(key=lambda attack: worst(attack, 0))
    labels.sort(key=lambda label: worst(label, 1))
    percent = metric.endswith("accuracy")
    return _drawn(cells, _titles(worlds), attacks, labels, metric, percent, width)


def attack_of(run: Run) -> str | None:
    """What the Byzantine nodes of a run do, in a few words; None where there are none."""
    entries = (run.scenario.get("faults") or {}).get("byzantine") or []
    return " & ".join(_said(entry["attack"]) for entry in entries) or None


def _said(attack: Mapping[str, Any]) -> str:
    options = [
        f"{value}" if isinstance(value, int | float) else f"{key}: {value}"
        for key, value in attack.items()
        if key not in ("name", "knowledge")
    ]
    return f"{attack['name']} ({', '.join(options)})" if options else str(attack["name"])


def _without_attack(scenario: Mapping[str, Any]) -> dict[str, Any]:
    """The scenario without what rows, columns and seeds tell apart."""
    rest = copy.deepcopy(dict(scenario))
    for key in ("seed", "algorithms", "expect", "sweep", "name", "description"):
        rest.pop(key, None)
    for entry in rest["faults"]["byzantine"]:
        entry.pop("attack")
    return rest


def _titles(worlds: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """What is special about each panel's world."""
    leaves = {key: dict(leaves_of(world)) for key, world in worlds.items()}
    names = list(dict.fromkeys(name for own in leaves.values() for name in own))
    differing = [name for name in names if len({repr(own.get(name)) for own in leaves.values()}) > 1]
    return {
        key: ", ".join(
            f"{name[-1]} {own[name]}" if name[-1] != "name" else str(own[name])
            for name in differing
            if name in own
        )
        for key, own in leaves.items()
    }


def _drawn(
    cells: Mapping[str, Mapping[tuple[str, str], list[float]]],
    titles: Mapping[str, str],
    attacks: list[str],
    labels: list[str],
    metric: str,
    percent: bool,
    width: str | float,
) -> Figure:
    scale = 100.0 if percent else 1.0
    grids = {
        key: np.array(
            [[scale * np.mean(own.get((attack, label), [np.nan])) for label in labels] for attack in attacks]
        )
        for key, own in cells.items()
    }
    values = np.concatenate([grid[np.isfinite(grid)] for grid in grids.values()])
    low, high = (0.0, 100.0) if percent else (float(values.min()), float(values.max()))
    with paper_style():
        height = 1.3 + 0.22 * len(attacks)
        figure = blank(width, height)
        panels = list(figure.subplots(1, len(grids), sharey=True, squeeze=False).flat)
        image = None
        for panel, (key, grid) in zip(panels, grids.items(), strict=True):
            image = panel.imshow(grid, cmap="cividis", vmin=low, vmax=high, aspect="auto")
            panel.grid(False)
            panel.set_xticks(range(len(labels)), labels, rotation=40, ha="right", rotation_mode="anchor")
            panel.set_yticks(range(len(attacks)), attacks)
            panel.tick_params(length=0)
            panel.set_title(titles[key])
            for (row, column), value in np.ndenumerate(grid):
                if np.isfinite(value):
                    dark = (value - low) / ((high - low) or 1.0) < 0.55
                    panel.text(
                        column,
                        row,
                        f"{value:.0f}" if percent else f"{value:.3g}",
                        ha="center",
                        va="center",
                        fontsize=6.5,
                        color="white" if dark else "black",
                    )
        panels[0].set_ylabel("attack")
        assert image is not None, "there is a panel"
        unit = " (%)" if percent else ""
        figure.colorbar(image, ax=panels, label=f"final {metric}{unit}", fraction=0.03, pad=0.01)
    return figure
