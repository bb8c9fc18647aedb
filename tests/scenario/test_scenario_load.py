import json
import subprocess
import sys
from pathlib import Path

import pytest

from simnet.scenario import (
    Document,
    Problem,
    Scenario,
    ScenarioError,
    SweepPoint,
    describe,
    dump,
    load_file,
    load_text,
    nearest,
    starter_text,
)
from simnet.scenario.yaml_text import read_yaml

TEXT = """\
name: small
network:
  topology: {kind: star, nodes: 4}
  link:
    bandwidth: 100 Mbps
    latency: 25 ms
workers:
  count: 4
  device: t4
task:
  name: quadratic
  batch_size: 1
  optimizer: {name: sgd, lr: 3e-3}
algorithms:
  - allreduce
  - {name: diloco, local_steps: 20}
stop: {time: 1 min, steps: 1e3}
evaluate: {every: 1 s}
"""


def scenario_of(document: Document) -> Scenario:
    [point] = document.scenarios
    assert point.point == {}
    return point.scenario


def error_of(text: str, overrides: tuple[str, ...] = ()) -> str:
    with pytest.raises(ScenarioError) as caught:
        load_text(text, overrides, name="x.yaml")
    return str(caught.value)


def test_a_file_is_read_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(TEXT)
    document = load_file(file)
    scenario = scenario_of(document)
    assert document.name == scenario.name == "small"
    assert document.mapping["task"]["optimizer"] == {"name": "sgd", "lr": 0.003}
    assert scenario.stop.steps == 1000
    assert scenario.folder == tmp_path
    assert scenario.source is not None
    assert scenario.source.name == str(file)


def test_an_error_is_told_as_the_manual_says() -> None:
    assert error_of(TEXT.replace("bandwidth: 100", "bandwith: 100")) == (
        "x.yaml:5: network.link.bandwith: unknown key\n"
        "    given:    bandwith: 100 Mbps\n"
        "    expected: one of bandwidth, latency, duplex, sharing, efficiency, jitter, loss, dollars_per_gb\n"
        "    did you mean `bandwidth`?"
    )


def test_an_ambiguous_unit_is_told_with_both_right_spellings() -> None:
    assert error_of(TEXT.replace("100 Mbps", "100 mbps")) == (
        "x.yaml:5: network.link.bandwidth: ambiguous unit 'mbps'\n"
        "    given:    bandwidth: 100 mbps\n"
        "    expected: a bandwidth with its unit, such as 100 Mbps or 12.5 MB/s\n"
        "    did you mean `100 Mbps` (megabits) or `100 MBps` (megabytes)?"
    )


@pytest.mark.parametrize(
    ("old", "new", "line", "key"),
    [
        ("name: small", "name: a b", 1, "name"),
        ("latency: 25 ms", "latency: 25", 6, "network.link.latency"),
        ("  device: t4", "  device: t4\n  sped: 3", 10, "workers.sped"),
        ("- allreduce", "- {name: diloco}", 16, "algorithms.1"),
        ("{time: 1 min, steps: 1e3}", "\n  loss: 3", 17, "stop"),
        ("evaluate: {every: 1 s}", "evaluate:\n  samples: 1", 18, "evaluate.every"),
    ],
)
def test_errors_carry_the_line_of_their_key(old: str, new: str, line: int, key: str) -> None:
    assert error_of(TEXT.replace(old, new)).startswith(f"x.yaml:{line}: {key}: ")


def test_rooms_further_down_give_paths_and_get_lines() -> None:
    scenario = scenario_of(load_text(TEXT, name="x.yaml"))
    places: list[tuple[tuple[str | int, ...], int]] = [
        (("task", "optimizer", "lr"), 13),
        (("workers", 0, "device"), 9),
        (("workers", 0, "speed"), 7),
        (("algorithms", 0, "name"), 15),
        (("algorithms", 1, "local_steps"), 16),
        (("server",), 1),
    ]
    for path, line in places:
        error = ScenarioError.at(path, "wrong", given=1, expected="right", suggestion="this")
        place, _, rest = scenario.explain(error).partition(": ")
        assert place == f"x.yaml:{line}"
        assert rest.startswith(".".join(map(str, path)) + ": wrong\n")


def test_an_error_without_a_source_still_names_the_key() -> None:
    error = ScenarioError([Problem(("a", 1, "b"), "wrong", None)])
    assert describe(error) == str(error) == "a.1.b: wrong\n    given:    b: null"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"# nothing\n", "an empty file"),
        (b"- a\n- b\n", "the top level is not a mapping"),
        (b"just text", "the top level is not a mapping"),
        (b"name: \xff\xfe", "not UTF-8 text: byte 6 is 0xff"),
        (b"name: [1, 2", "not YAML: while parsing a flow sequence"),
        (b"a: 1\nb:\n\tc: 2", ":3: not YAML"),
        (b"a: 1\n---\nb: 2", ":2: not YAML: expected a single document"),
        (b"[" * 1000, "nested too deeply"),
    ],
)
def test_what_is_not_a_scenario_at_all_is_one_clear_message(
    tmp_path: Path, content: bytes, message: str
) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(content)
    with pytest.raises(ScenarioError) as caught:
        load_file(file)
    assert len(caught.value.problems) == 1
    assert str(caught.value).startswith(str(file))
    assert message in str(caught.value)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    assert load_file(file).name == "small"


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="no such file, and no scenario of the library"):
        load_file(tmp_path / "none.yaml")
    with pytest.raises(ScenarioError, match="a folder, not a scenario"):
        load_file(tmp_path)
    with pytest.raises(ScenarioError, match="no such file"):
        load_file("x" * 5000)


def test_the_library_is_found_by_name_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_file("quickstart").scenarios == load_file("quickstart.yaml").scenarios
    with pytest.raises(ScenarioError) as caught:
        load_file("quikstart")
    assert caught.value.problems[0].suggestion == "quickstart"
    (tmp_path / "quickstart").write_text(TEXT)  # a file comes first
    assert load_file("quickstart").name == "small"


def test_a_key_twice_names_both_lines() -> None:
    assert error_of(TEXT + "name: again\n") == (
        "x.yaml:19: name: given twice, first on line 1\n    expected: each key once"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a: !!python/object/apply:os.system [ls]",
            "the tag tag:yaml.org,2002:python/object/apply:os.system",
        ),
        ("a: !mine x", "the tag !mine is not allowed"),
        ("a: &x [*x]", "an alias inside what it stands for"),
        ("b: &b {c: 1}\na:\n  <<: *b", "merge keys are not supported"),
        ("? [1, 2]\n: 3", "a key that is not text"),
        ("a: !!int many", "a value that its tag does not fit"),
    ],
)
def test_yaml_that_is_more_than_data_is_refused(text: str, message: str) -> None:
    assert message in error_of(text)


def test_text_that_unfolds_without_end_is_refused() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert "more than 100000 values" in error_of("\n".join(rows))


def test_numbers_are_read_as_yaml_1_2() -> None:
    value, _ = read_yaml("[3e-3, 3.0e-3, 1e6, 0x10, 012, 1_000, yes, on, ~, 2024-01-01, '5', true, .5, 1:30]")
    assert value == [0.003, 0.003, 1e6, 16, 12, 1000, "yes", "on", None, "2024-01-01", "5", True, 0.5, "1:30"]
    assert [type(item) for item in value[:6]] == [float, float, float, int, int, int]


def test_keys_are_text_and_aliases_are_unfolded() -> None:
    value, lines = read_yaml("a: &x\n  1: one\nb: *x\n")
    assert value == {"a": {"1": "one"}, "b": {"1": "one"}}
    assert (lines[("a", "1")], lines[("b",)]) == (2, 3)


def test_an_override_replaces_a_value_and_is_blamed_for_it() -> None:
    scenario = scenario_of(load_text(TEXT, ["network.link.latency=50ms", "algorithms.diloco.local_steps=5"]))
    assert scenario.network.link.latency == 0.05
    assert scenario.algorithms[1].options == {"local_steps": 5}
    assert error_of(TEXT, ("network.link.bandwith=1 Gbps",)) == (
        "--set network.link.bandwith=1 Gbps: network.link.bandwith: unknown key\n"
        "    given:    bandwith: 1 Gbps\n"
        "    expected: one of bandwidth, latency, duplex, sharing, efficiency, jitter, loss, dollars_per_gb\n"
        "    did you mean `bandwidth`?"
    )
    assert error_of(TEXT, ("netwrk.link.latency=1 s",)).startswith(
        "--set netwrk.link.latency=1 s: netwrk: unknown"
    )
    assert error_of(TEXT, ("stop.time=5",)).startswith(
        "--set stop.time=5: stop.time: a number without a unit"
    )


def test_an_override_that_cannot_be_applied_is_told() -> None:
    assert error_of(TEXT, ("stop",)).startswith("--set stop: not an override")
    assert error_of(TEXT, ("stop.time=[1",)).startswith("--set stop.time=[1: not YAML")
    assert error_of(TEXT, ("algorithms.dilco.x=1",)) == (
        "--set algorithms.dilco.x=1: algorithms.dilco: no such entry\n"
        "    expected: one of allreduce, diloco, or an index\n"
        "    did you mean `diloco`?"
    )


def test_a_swept_value_is_blamed_on_its_line_in_the_sweep() -> None:
    text = TEXT + "sweep:\n  seed: [0, 1]\n  network.link.latency:\n    - 1 ms\n    - 2\n    - 3\n"
    lines = [line for line in error_of(text).splitlines() if not line.startswith(" ")]
    assert lines == [
        "x.yaml:23: network.link.latency: a number without a unit",
        "x.yaml:24: network.link.latency: a number without a unit",
    ]


def test_a_shared_problem_of_a_sweep_is_told_once() -> None:
    text = TEXT.replace("device: t4", "device: t4\n  sped: 1") + "sweep: {seed: [0, 1, 2]}\n"
    assert error_of(text).count("unknown key") == 1


def test_a_later_room_blames_the_sweep_too() -> None:
    text = TEXT + "sweep:\n  algorithms.diloco.local_steps: [1, 2]\n"
    document = load_text(text, name="x.yaml")
    error = ScenarioError.at(("algorithms", 1, "local_steps"), "wrong")
    assert [point.scenario.explain(error) for point in document.scenarios] == [
        "x.yaml:20: algorithms.1.local_steps: wrong"
    ] * 2
    assert document.explain(error).startswith("x.yaml:16")


def test_a_broken_sweep_does_not_hide_other_problems() -> None:
    text = (
        TEXT.replace("stop: {time: 1 min, steps: 1e3}", "stop: {}") + "sweep: {stop.time: 5 s, sede: [1]}\n"
    )
    message = error_of(text)
    assert "sweep.stop.time: not a list" in message
    assert "might never end" not in message  # the sweep would have said when
    assert error_of(TEXT.replace("name: small", "nam: small") + "sweep: 3\n").count("x.yaml:") == 2


def test_the_points_of_a_sweep_are_scenarios_of_their_own() -> None:
    document = load_text(TEXT + "sweep: {seed: [0, 1], network.link.latency: [1 ms, 2 ms]}\n")
    assert [point.point for point in document.scenarios] == [
        {"seed": seed, "network.link.latency": latency} for seed in (0, 1) for latency in ("1 ms", "2 ms")
    ]
    assert [point.scenario.network.link.latency for point in document.scenarios] == [0.001, 0.002] * 2
    assert all(point.scenario.sweep == {} for point in document.scenarios)
    assert all(isinstance(point, SweepPoint) for point in document.scenarios)


def test_the_starter_validates_as_it_is_and_round_trips() -> None:
    scenario = scenario_of(load_text(starter_text()))
    assert scenario_of(load_text(dump(scenario))) == scenario
    assert any(line.startswith("#") for line in starter_text().splitlines())


@pytest.mark.parametrize(
    ("name", "choices", "expected"),
    [
        ("bandwith", ["bandwidth", "latency"], "bandwidth"),
        ("DiLoCo", ["diloco", "fedavg"], "diloco"),
        ("local_sgd", ["local-sgd"], "local-sgd"),
        ("zebra", ["diloco"], ""),
        ("x", [], ""),
    ],
)
def test_nearest(name: str, choices: list[str], expected: str) -> None:
    assert nearest(name, choices) == expected


def test_importing_the_room_stays_light() -> None:
    code = "import sys, json, simnet.scenario; print(json.dumps(sorted(sys.modules)))"
    modules = json.loads(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout)
    assert not {"torch", "pandas", "pint", "matplotlib", "scipy", "sklearn"} & set(modules)


def test_a_misspelt_required_key_is_told_once() -> None:
    text = error_of(TEXT.replace("bandwidth:", "bandwith:"))
    assert "did you mean `bandwidth`" in text
    assert "missing key" not in text
