from __future__ import annotations

from random import Random

import matplotlib as mpl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.results import ResultsError
from simnet_analysis.style import _OTHER_COLORS, SHIPPED, method_styles, paper_style

NAMES = st.sets(st.one_of(st.sampled_from(sorted(SHIPPED)), st.text(min_size=1, max_size=12)), min_size=1)


@given(NAMES.filter(lambda names: len(names) <= 15))
def test_colours_are_unique_within_a_figure(names: set[str]) -> None:
    colors = [style.color for style in method_styles(names).values()]
    assert len(set(colors)) == len(names)


@given(st.sets(st.integers(0, 10**6), min_size=16, max_size=60))
def test_many_methods_are_told_apart_by_line_and_marker(numbers: set[int]) -> None:
    styles = method_styles(f"method {number}" for number in numbers)
    assert len(set(styles.values())) == len(numbers)


@given(NAMES, st.randoms())
def test_shipped_methods_look_the_same_in_every_figure_in_any_order(names: set[str], random: Random) -> None:
    shuffled = sorted(names)
    random.shuffle(shuffled)
    styles = method_styles(shuffled)
    assert styles == method_styles(names)
    for name in names & set(SHIPPED):
        assert styles[name] == SHIPPED[name]


def test_another_method_keeps_its_look_whatever_shipped_methods_are_beside_it() -> None:
    alone = method_styles(["sparse-gossip"])["sparse-gossip"]
    assert method_styles([*SHIPPED, "sparse-gossip"])["sparse-gossip"] == alone


def test_no_two_colours_of_the_table_are_alike() -> None:
    colors = [style.color for style in SHIPPED.values()] + list(_OTHER_COLORS)
    assert len(set(colors)) == len(colors) == 15
    looks = {(style.line, style.marker) for style in SHIPPED.values()}
    assert len(looks) == len(SHIPPED)  # in grey too


def test_the_style_does_not_leak() -> None:
    before = dict(mpl.rcParams)
    with paper_style():
        assert mpl.rcParams["font.size"] == 8
    assert dict(mpl.rcParams) == before


def test_more_methods_than_styles_are_refused() -> None:
    with pytest.raises(ResultsError, match="1000 methods"):
        method_styles(str(number) for number in range(1000))
