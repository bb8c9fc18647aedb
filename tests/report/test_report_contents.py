"""What the page says, without a browser: conditions, ranks, statistics, sentences, data, marks."""

from __future__ import annotations

import json
import re
from html import unescape
from math import inf, nan

import pytest
from report_runs import LINKS

from simnet.results import ResultsError
from simnet_analysis.report import report_html, write_report
from simnet_analysis.report.conditions import conditions
from simnet_analysis.report.curve_data import curve_data
from simnet_analysis.report.outcomes import outcome, repeated
from simnet_analysis.report.run_data import joined, map_data, timeline_data
from simnet_analysis.report.tables import notes, ranked_table
from simnet_analysis.report.words import answer
from simnet_analysis.statistics import mean_interval
from simnet_analysis.style import method_styles


def embedded(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def one_condition(*runs):
    (found,) = conditions(runs)
    return found


def two_methods(write_one, times_a=(10.0, 11.0, 12.0), times_b=(20.0, 21.5, 22.0)):
    """Runs that reach a loss of 1 at their last evaluation, after twice these times."""
    runs = [write_one("a", [4.0, 2.0, 1.0], seed=at, seconds=own) for at, own in enumerate(times_a)]
    return runs + [write_one("b", [4.0, 3.0, 1.0], seed=at, seconds=own) for at, own in enumerate(times_b)]


def test_conditions_differ_in_all_but_method_and_seed(write_one):
    runs = [
        write_one(label, [2.0, 1.0], seed=seed, bandwidth=bandwidth)
        for bandwidth in ("1 Gbps", "20 Mbps", "100 Mbps")
        for label in ("a", "b")
        for seed in (1, 0)
    ]
    found = conditions(runs)
    assert [one.title for one in found] == [f"bandwidth = {b}" for b in ("20 Mbps", "100 Mbps", "1 Gbps")]
    for one in found:
        assert [group.name for group in one.groups] == ["a", "b"]
        assert [[run.manifest.seed for run in group.runs] for group in one.groups] == [[0, 1], [0, 1]]


def test_one_condition_has_no_title(write_one):
    assert one_condition(write_one("a", [2.0, 1.0]), write_one("b", [2.0, 1.0])).title == ""


def test_scenarios_of_other_names_are_not_compared(write_one):
    found = conditions([write_one("a", [2.0, 1.0]), write_one("b", [2.0, 1.0], name="other")])
    assert [one.title for one in found] == ["made", "other"]


def test_ranks_intervals_and_tests_are_of_the_seeds_themselves(write_one):
    found = outcome(one_condition(*two_methods(write_one)), "loss", 1.0)
    assert found.ranked == ("a", "b")
    assert found.first.values == {
        "a": {0: 20.0, 1: 22.0, 2: 24.0},
        "b": {0: 40.0, 1: 43.0, 2: 44.0},
    }
    assert found.first.interval("a") == mean_interval([20.0, 22.0, 24.0])
    pair = found.first.between("b", "a")
    assert pair.difference == mean_interval([20.0, 21.0, 20.0])
    assert found.first.between("a", "b").difference.mean == -pair.difference.mean
    assert pair.significant


def test_a_larger_accuracy_is_the_better_one(write_one):
    runs = [write_one(label, losses, accuracy=True) for label, losses in
            (("a", [2.0, 1.5, 1.0]), ("b", [2.0, 0.8, 0.4]))]  # fmt: skip
    found = outcome(one_condition(*runs), "accuracy", 0.75)
    assert found.ranked == ("b", "a")
    assert (found.first.values["b"], found.first.values["a"]) == ({0: 10.0}, {0: 20.0})


def test_who_never_reaches_the_target_is_last_and_not_tested(write_one):
    runs = two_methods(write_one)
    runs += [write_one("c", [4.0, 3.0, 1.0 if seed else 2.0], seed=seed, seconds=1.0) for seed in range(3)]
    found = outcome(one_condition(*runs), "loss", 1.0)
    assert found.ranked == ("a", "b", "c")
    assert found.first.values["c"] == {0: inf, 1: 2.0, 2: 2.0}
    assert found.first.between("c", "a").untested == "not finite"
    said = text_of(ranked_table(found, method_styles(found.ranked)))
    assert "reached in 2 of 3 seeds" in said
    assert "Not in all of their runs reached by: c." in answer(found)


def test_a_method_that_diverged_says_so(write_one):
    runs = [*two_methods(write_one), *(write_one("c", [4.0, 9.0, nan], seed=seed) for seed in range(3))]
    found = outcome(one_condition(*runs), "loss")
    assert found.quantities[-1].interval("c") is None
    assert "diverged" in text_of(ranked_table(found, method_styles(found.ranked)))


def test_one_seed_has_no_interval_and_no_claim(write_one):
    found = outcome(
        one_condition(write_one("a", [4.0, 1.0]), write_one("b", [4.0, 1.0], seconds=30.0)), "loss"
    )
    assert answer(found).endswith("There is one seed: how much of this is luck is not known.")
    said = text_of(ranked_table(found, method_styles(found.ranked))) + " ".join(notes(found))
    assert "One seed: these numbers have no intervals" in said
    assert " to " not in ranked_table(found, method_styles(found.ranked)).split("<tbody>")[1]
    page = report_html(found.condition.runs)
    assert "no difference was tested" in text_of(page)
    assert "significant (" not in text_of(page)


def test_what_seeds_do_not_tell_apart_is_not_called_different(write_one):
    runs = two_methods(write_one, (10.0, 14.0, 9.0), (12.0, 9.0, 13.5))
    found = outcome(one_condition(*runs), "loss", 1.0)
    assert not found.first.between("a", "b").significant
    assert "seeds do not tell it apart from" in answer(found).lower()
    assert "not told apart" in text_of(ranked_table(found, method_styles(found.ranked)))


def test_a_difference_without_spread_is_not_called_significant(write_one):
    runs = two_methods(write_one, (10.0,) * 3, (30.0,) * 3)
    found = outcome(one_condition(*runs), "loss", 1.0)
    assert "the same in every seed" in answer(found)
    assert "significant" not in answer(found)


def test_a_seed_that_was_run_twice_counts_once(write_one):
    again = write_one("a", [4.0, 2.0, 1.0], seed=0, seconds=20.0, version="0.2.0")
    condition = one_condition(*two_methods(write_one), again)
    assert repeated(condition) == {"a": [0]}
    found = outcome(condition, "loss", 1.0)
    assert found.first.values["a"] == {0: 30.0, 1: 22.0, 2: 24.0}
    assert any("more than one run of seed 0" in text for text in notes(found))


def test_dollars_and_energy_only_where_all_prices_are_known(write_one):
    priced = one_condition(*(write_one(label, [4.0, 1.0], priced=True) for label in "ab"))
    assert [one.spent for one in outcome(priced, "loss").quantities] == [
        "time",
        "bytes",
        "dollars",
        "kwh",
        "final",
    ]
    data = curve_data([priced], "loss")
    assert set(data[0]["axes"]) == {"time", "steps", "bytes", "dollars", "kwh"}
    mixed = one_condition(write_one("c", [4.0, 1.0], priced=True), write_one("d", [4.0, 1.0]))
    assert [one.spent for one in outcome(mixed, "loss").quantities] == ["time", "bytes", "final"]
    assert set(curve_data([mixed], "loss")[0]["axes"]) == {"time", "steps", "bytes"}


def test_curves_are_the_means_and_their_intervals(write_one):
    losses = ([4.0, 2.0, 1.0], [4.0, 2.2, 1.3], [4.0, 2.1, 0.9])
    runs = [write_one("a", own, seed=seed) for seed, own in enumerate(losses)]
    (data,) = curve_data([one_condition(*runs)], "loss")
    line = data["metrics"]["loss"]["lines"]["time"]["a"]
    assert line["x"] == [0.0, 10.0, 20.0]
    for at in range(3):
        expected = mean_interval([own[at] for own in losses])
        found = [line[key][at] for key in ("y", "low", "high")]
        assert found == pytest.approx([expected.mean, expected.low, expected.high], rel=1e-4)


def test_long_curves_are_thinned_and_keep_their_ends(write_one):
    losses = [4.0 / (1 + at) for at in range(2000)]
    (data,) = curve_data([one_condition(write_one("a", losses, seconds=0.001))], "loss")
    line = data["metrics"]["loss"]["lines"]["steps"]["a"]
    assert len(line["x"]) == 300
    assert (line["x"][0], line["x"][-1]) == (0.0, 1999.0)
    assert (line["y"][0], line["y"][-1]) == (4.0, 0.002)


def test_long_timelines_are_thinned_and_begin_with_every_bar(write_one):
    run = write_one("a", [2.0, 1.0], bars=6000, nodes=3)
    beginning, whole = timeline_data(run)["views"]
    for view in (whole, beginning):
        assert sum(len(one["row"]) for one in view["kinds"].values()) <= 1500
    assert whole["pause"]
    reach = {
        name: max(start + length for own in view["kinds"].values() for start, length in
                  zip(own["start"], own["length"], strict=True))
        for name, view in (("whole", whole), ("beginning", beginning))
    }  # fmt: skip
    assert reach["whole"] == pytest.approx(10.0, rel=1e-3)
    assert beginning["pause"] == ""
    # Every bar of the beginning is there: a period is 10 s / 6000, with one bar of each kind at each node.
    periods = reach["beginning"] / (10.0 / 6000)
    for kind in ("train", "waits"):
        assert len(beginning["kinds"][kind]["row"]) == pytest.approx(3 * periods, abs=3)


def test_short_timelines_have_every_bar(write_one):
    (view,) = timeline_data(write_one("b", [2.0, 1.0], bars=5))["views"]
    assert (view["pause"], len(view["kinds"]["train"]["row"])) == ("", 10)


def test_intervals_join_over_short_pauses_alone():
    assert joined([(0, 1), (1.1, 2), (5, 6)], 0.5) == [(0, 2), (5, 6)]
    assert joined([(3, 4), (0, 10), (12, 13)], 1.0) == [(0, 10), (12, 13)]
    assert joined([], 1.0) == []


def test_the_map_says_how_full_links_were(write_one):
    run = write_one("a", [2.0, 1.5, 1.0])  # 3 MB in 20 s over 12.5 MB/s, in one of two directions
    found = map_data(run, {})
    assert {name for own in found["nodes"].values() for name in own["name"]} == {"n0", "n1", "hub"}
    assert [link["use"] for link in found["links"]] == pytest.approx([3e6 / (12.5e6 * 20)] * 2, rel=1e-4)
    marked = [link["text"] for link in found["links"] if link["bottleneck"]]
    assert len(marked) == 1
    assert LINKS[0].replace("->", " → ") in marked[0]


def test_runs_that_measured_nothing_are_ranked_by_their_time(write_one):
    runs = [
        write_one(label, [0.0, 0.0], seconds=own, timing_only=True) for label, own in (("a", 9.0), ("b", 4.0))
    ]
    found = outcome(one_condition(*runs), None)
    assert found.ranked == ("b", "a")
    assert answer(found).startswith("b took the least time: 4 s.")
    assert embedded(report_html(runs))["conditions"][0]["metrics"] == {}
    with pytest.raises(ResultsError, match="nothing that could reach a target"):
        report_html(runs, target=1.0)


def test_one_method_alone_says_what_it_came_to(write_one):
    found = outcome(one_condition(write_one("a", [2.0, 1.0])), "loss")
    assert answer(found) == "a: final loss 1. There is nothing to compare it with."
    timed = outcome(one_condition(write_one("b", [0.0, 0.0], timing_only=True)), None)
    assert answer(timed) == "b: time of the run 10 s. There is nothing to compare it with."


def test_emulated_runs_are_marked(write_one):
    runs = two_methods(write_one)
    object.__setattr__(runs[0].manifest, "emulation", {"driver": "fabric", "fidelity": {"valid": True}})
    why = {"valid": False, "reasons": ["packets came late"]}
    object.__setattr__(runs[4].manifest, "emulation", {"driver": "fabric", "fidelity": why})
    page = text_of(report_html(runs))
    assert "a emulated 3" in page
    assert "b emulated, not valid 3" in page
    assert "Some runs were emulated, and some simulated" in page
    assert "2 emulated, 4 simulated" in page
    assert "packets came late" in json.dumps(embedded(report_html(runs))["runs"][4]["facts"])
    assert "emulated" not in text_of(report_html(runs[1:3]))


def test_nothing_of_a_scenario_becomes_markup(write_one):
    run = write_one("a", [2.0, 1.0], description="<img src=x onerror=alert(1)> & </script>")
    page = report_html([run, write_one("<b>&</b>", [2.0, 1.0])])
    assert "<img" not in page.replace(page[page.index("<script>") :], "")
    assert "&lt;img src=x onerror=alert(1)&gt; &amp; &lt;/script&gt;" in page
    assert "<b>&</b>" not in page
    data = embedded(page)
    assert data["runs"][0]["yaml"] == run.scenario_yaml
    assert "<script>" in data["runs"][0]["yaml"]


def test_equal_runs_give_equal_pages(write_one):
    runs = two_methods(write_one)
    assert report_html(runs) == report_html(runs)


def test_the_page_names_no_address_in_what_it_loads(write_one):
    page = report_html(two_methods(write_one))
    own = page[: page.index("<script>")]  # before plotly.js, in which addresses are text
    places = re.findall(r"""\b(?:src|href|action|srcset)\s*=\s*["']?([^\s"'>]+)""", own)
    assert places
    assert all(place.startswith(("#", "data:")) for place in places)
    assert "url(" not in own
    assert "@import" not in own
    assert "default-src 'none'" in own


def test_an_unknown_metric_is_named(write_one):
    with pytest.raises(ResultsError, match="no metric 'los'; did you mean 'loss'"):
        report_html([write_one("a", [2.0, 1.0])], metric="los")
    with pytest.raises(ResultsError, match="no runs"):
        report_html([])


def test_a_page_that_cannot_be_written_is_one_message(write_one, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match=r"cannot write .*report\.html"):
        write_report([write_one("a", [2.0, 1.0])], tmp_path / "file" / "report.html")
    assert write_report([write_one("a", [2.0, 1.0])], tmp_path / "new" / "report.html").is_file()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]
