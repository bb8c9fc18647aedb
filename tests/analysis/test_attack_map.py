"""The map of methods under attacks."""

import pytest

from simnet.results import ResultsError
from simnet_analysis import attack_figure
from simnet_analysis.attack_map import attack_of


class Made:
    """A run as far as the figure looks at it."""

    def __init__(self, label, attack, value, partition="iid", seed=0):
        self.label = label
        byzantine = [] if attack is None else [{"attack": attack, "count": 2}]
        self.scenario = {
            "seed": seed,
            "faults": {"byzantine": byzantine},
            "task": {"partition": {"name": partition}},
        }
        self._value = value

    def final(self, metric):
        return self._value


def texts(figure):
    return [[text.get_text() for text in axes.texts] for axes in figure.axes]


def test_rows_are_attacks_columns_are_methods_and_seeds_are_averaged():
    runs = [
        Made("mean", {"name": "zero"}, 0.2),
        Made("mean", {"name": "zero"}, 0.4, seed=1),
        Made("krum", {"name": "zero"}, 0.9),
        Made("mean", {"name": "honest"}, 0.95),
        Made("krum", {"name": "honest"}, 0.8),
        Made("krum", None, 0.1),
    ]
    figure = attack_figure(runs)
    panel = figure.axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["honest", "zero"]
    assert [label.get_text() for label in panel.get_xticklabels()] == ["krum", "mean"]
    assert texts(figure)[0] == ["80", "95", "90", "30"]
    assert "%" in figure.axes[-1].get_ylabel()


def test_other_differences_are_panels_of_their_own():
    runs = [Made("mean", {"name": "zero"}, 0.5, partition) for partition in ("iid", "dirichlet")]
    figure = attack_figure(runs)
    assert [axes.get_title() for axes in figure.axes[:2]] == ["iid", "dirichlet"]


def test_an_attack_is_said_with_its_options():
    assert (
        attack_of(Made("mean", {"name": "sign-flip", "scale": 4, "knowledge": "own"}, 0)) == "sign-flip (4)"
    )
    assert attack_of(Made("mean", None, 0)) is None


def test_there_is_no_map_without_attackers():
    with pytest.raises(ResultsError, match="Byzantine"):
        attack_figure([Made("mean", None, 0.5)])
