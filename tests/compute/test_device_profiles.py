"""Device profiles with memory traffic and overheads: arithmetic, files, and what a run's clock says."""

from math import inf

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simnet
from simnet.compute import DEVICES, Demand, DeviceProfile, Machine, resolve_device
from simnet.compute.flops import ForwardBackward
from simnet.plan import plans
from simnet.scenario import DeviceConfig, Scenario, ScenarioError, dump, load_text, read_device
from simnet.units import format_bandwidth, format_bytes, format_flops, format_seconds

counts = st.floats(0, 1e15)
demands = st.builds(Demand, counts, counts, counts, counts, counts, counts)


def profile(**changes: float) -> DeviceProfile:
    return DeviceProfile("x", 1e9, 0.5, None, "fp32", "", "", **changes)


def test_seconds_are_a_sum() -> None:
    whole = profile(
        memory_bandwidth=1e6,
        pooling_bandwidth=1e5,
        operation_overhead=1e-3,
        convolution_overhead=2e-3,
        attention_overhead=3e-3,
    )
    assert whole.seconds(Demand(1e9)) == 2
    assert whole.seconds(Demand(bytes=3e6)) == 3
    assert whole.seconds(Demand(pooled_bytes=3e5)) == 3
    assert whole.seconds(Demand(operations=5)) == 5e-3
    assert whole.seconds(Demand(convolutions=5)) == 10e-3
    assert whole.seconds(Demand(attentions=5)) == 15e-3
    assert whole.seconds(Demand(1e9, 3e6, 3e5, 5, 5, 5)) == pytest.approx(8.03, rel=1e-15)
    assert whole.seconds(Demand(1e9, 3e6), speed=0.5) == 10


@given(demand=demands)
def test_named_profiles_charge_arithmetic_alone(demand: Demand) -> None:
    for named in DEVICES.values():
        assert not named.charges_traffic
        assert named.seconds(demand) == demand.flops / named.rate


@given(first=demands, second=demands)
def test_a_gradient_takes_as_long_as_its_passes(first: Demand, second: Demand) -> None:
    machine = Machine(
        profile(memory_bandwidth=1e8, operation_overhead=1e-6), 0.5, ForwardBackward(first, second)
    )
    passes = machine.forward_seconds() + machine.backward_seconds()
    assert machine.gradient_seconds() == pytest.approx(passes, rel=1e-12)
    assert machine.train_seconds(3) == 3 * (machine.gradient_seconds() + machine.optimizer_seconds())


def test_what_is_not_given_is_that_of_other_operations_or_free() -> None:
    plain = resolve_device(DeviceConfig(flops="1 TFLOP/s", achieved=1), ())
    assert (plain.memory_bandwidth, plain.pooling_bandwidth, plain.operation_overhead) == (inf, inf, 0)
    some = DeviceConfig(flops="1 TFLOP/s", achieved=1, memory_bandwidth="1 GB/s", operation_overhead="5 us")
    found = resolve_device(some, ())
    assert (found.pooling_bandwidth, found.convolution_overhead, found.attention_overhead) == (
        1e9,
        5e-6,
        5e-6,
    )
    assert found.charges_traffic
    assert not plain.charges_traffic


rates = st.floats(1, 1e18)
seconds = st.floats(0, 10)


@settings(deadline=None)
@given(
    flops=rates,
    achieved=st.floats(0.001, 1),
    memory=st.none() | rates,
    bandwidths=st.tuples(st.none() | rates, st.none() | rates),
    overheads=st.tuples(*[st.none() | seconds] * 3),
)
def test_a_profile_file_says_what_it_was_given(
    tmp_path_factory, flops, achieved, memory, bandwidths, overheads
) -> None:
    lines = [f"flops: {format_flops(flops, exact=True)}", f"achieved: {achieved!r}"]
    if memory is not None:
        lines.append(f"memory: {format_bytes(memory, exact=True)}")
    names = ("memory_bandwidth", "pooling_bandwidth")
    for name, value in zip(names, bandwidths, strict=True):
        lines += [] if value is None else [f"{name}: {format_bandwidth(value, exact=True)}"]
    names = ("operation_overhead", "convolution_overhead", "attention_overhead")
    for name, value in zip(names, overheads, strict=True):
        lines += [] if value is None else [f"{name}: {format_seconds(value, exact=True)}"]
    file = tmp_path_factory.mktemp("profile") / "p.yaml"
    file.write_text("\n".join(lines))
    found = read_device(file)
    assert (found.flops, found.achieved, found.memory) == (flops, achieved, memory)
    assert (found.memory_bandwidth, found.pooling_bandwidth) == bandwidths
    assert (found.operation_overhead, found.convolution_overhead, found.attention_overhead) == overheads
    assert DeviceConfig.model_validate(found.model_dump(mode="json")) == found


GOOD = "flops: 1 GFLOP/s\nachieved: 0.5\nmemory: 8 GiB\nmemory_bandwidth: 1 GB/s\noperation_overhead: 1 ms\n"
SCENARIO = """
name: measured
threads: 1
network: {{topology: {{kind: star, nodes: 2}}, link: {{bandwidth: 1 Gbps, latency: 1 ms}}}}
workers: {workers}
task:
  name: classification
  dataset: digits
  model: {{name: mlp, hidden: [16]}}
  batch_size: 8
  optimizer: {{name: sgd, lr: 0.1}}
algorithms: [{{name: local-sgd, local_steps: 4}}]
stop: {{steps: 4}}
"""


def text(workers: str = "{device: ./mine.yaml}") -> str:
    return SCENARIO.format(workers=workers)


def test_the_clock_says_what_the_profile_says(tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    file = tmp_path / "scenario.yaml"
    file.write_text(text())
    [plan] = plans(simnet.load(file).scenarios[0].scenario)
    [machine, _, _] = plan.world.cost.machines
    step = machine.batch.gradient + machine.optimizer
    rate = 0.5e9
    assert step.operations > 20
    train = 4 * (step.flops / rate + (step.bytes + step.pooled_bytes) / 1e9 + step.operations * 1e-3)
    assert machine.train_seconds(4) == pytest.approx(train, rel=1e-12)
    [run] = simnet.run(file, tmp_path / "results")
    spans = run.spans[run.spans["kind"] == "compute"]
    assert spans["end"].max() == pytest.approx(train, rel=1e-12)


def test_a_run_keeps_the_profile_and_not_its_file(tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    document = load_text(text("[{count: 1, device: ./mine.yaml}, {device: t4}]"), folder=tmp_path)
    scenario = document.scenarios[0].scenario
    assert scenario.workers[0].device == read_device(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").unlink()
    assert load_text(dump(scenario)).scenarios[0].scenario == scenario


def test_a_sweep_over_profiles_and_a_server(tmp_path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    swept = text() + "server: {device: mine.yaml}\nsweep: {workers.device: [mine.yaml, cpu]}\n"
    first, second = load_text(swept, folder=tmp_path).scenarios
    assert isinstance(first.scenario.workers[0].device, DeviceConfig)
    assert second.scenario.workers[0].device == "cpu"
    assert isinstance(second.scenario.server.device, DeviceConfig)


@pytest.mark.parametrize(
    ("profile_text", "line", "words"),
    [
        (GOOD.replace("achieved", "acheived"), 2, "did you mean `achieved`"),
        (GOOD.replace("achieved: 0.5", "achieved: 1.5"), 2, "achieved"),
        (GOOD.replace("1 GB/s", "1 GB"), 4, "a bandwidth with its unit"),
        (GOOD.replace("1 ms", "-1 ms"), 5, "operation_overhead"),
        (GOOD + "memory: 1 GB\n", 6, "given twice"),
        ("!!python/object/apply:os.system [ls]\n", 1, "not allowed"),
        ("- a list\n", 1, "not a device profile"),
    ],
)
def test_errors_name_the_profile_and_its_line(tmp_path, profile_text, line, words) -> None:
    (tmp_path / "mine.yaml").write_text(profile_text)
    with pytest.raises(ScenarioError) as raised:
        load_text(text(), folder=tmp_path)
    assert f"mine.yaml:{line}" in str(raised.value)
    assert words in str(raised.value)


@pytest.mark.parametrize("workers", ["{device: ./gone.yaml}", "[{device: ./gone.yaml}]"])
def test_a_missing_profile_is_told_where_it_is_named(tmp_path, workers) -> None:
    with pytest.raises(ScenarioError, match=r"no such file in") as raised:
        load_text(text(workers), name="s.yaml", folder=tmp_path)
    assert "s.yaml:5" in str(raised.value)
    assert "simnet calibrate" in str(raised.value)


def test_in_python_the_file_is_read_by_hand(tmp_path, small) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    with pytest.raises(ScenarioError, match=r"read_device"):
        plans(Scenario.model_validate(small({"workers": {"device": "mine.yaml"}})))
    scenario = Scenario.model_validate(small({"workers": {"device": read_device(tmp_path / "mine.yaml")}}))
    assert plans(scenario)[0].world.cost.machines[0].profile.operation_overhead == 1e-3
