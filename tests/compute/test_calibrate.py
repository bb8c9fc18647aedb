"""Calibration: the fit finds the rates that made the times; the command writes what scenarios can use."""

import os
import subprocess
import sys
from math import inf

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from simnet.cli.main import main
from simnet.compute import Demand, DeviceProfile
from simnet.compute.calibrate import Measured, Subject, fitted_profile, measure, peak_flops, single_profile
from simnet.compute.calibration_set import fitting_set, held_out_set, subject
from simnet.optim import SGD, AdamW
from simnet.plan import plans
from simnet.scenario import ScenarioError, load_file, read_device
from simnet.tasks.components import models
from simnet.tasks.losses import cross_entropy

CPU = torch.device("cpu")

DEMANDS = [
    Demand(1e6, 1e5, 0, 20),
    Demand(1e9, 1e6, 0, 20),
    Demand(1e6, 1e8, 0, 30),
    Demand(1e7, 1e5, 1e7, 10, 2),
    Demand(1e8, 1e6, 0, 100, 0, 6),
    Demand(1e8, 1e6, 1e5, 50, 8),
    Demand(0, 1e6, 0, 200),
]


def steps(profile: DeviceProfile) -> list[Measured]:
    """Steps that take exactly as long as the profile says."""
    made = []
    for index in range(len(DEMANDS)):
        demands = (DEMANDS[index], DEMANDS[index - 1], DEMANDS[index - 2])
        first, second, third = (profile.seconds(demand) for demand in demands)
        made.append(Measured(str(index), (first, second, third), demands, 0))
    return made


@settings(deadline=None, max_examples=40)
@given(
    achieved=st.floats(0.05, 0.99),
    bandwidth=st.floats(1e9, 1e11),
    pooling=st.floats(0.1, 0.9),
    overhead=st.floats(1e-6, 1e-4),
    convolution=st.floats(1.5, 50),
    attention=st.floats(1.5, 50),
)
def test_the_fit_finds_the_rates_that_made_the_times(
    achieved, bandwidth, pooling, overhead, convolution, attention
) -> None:
    truth = DeviceProfile(
        "x",
        1e11,
        achieved,
        None,
        "",
        "",
        "",
        bandwidth,
        bandwidth * pooling,
        overhead,
        overhead * convolution,
        overhead * attention,
    )
    measured = steps(truth)
    found = fitted_profile(measured, 1e11, 8e9)
    assert (found.flops, found.memory) == (1e11, 8e9)
    for name in ("achieved", "memory_bandwidth", "pooling_bandwidth", "operation_overhead",
                 "convolution_overhead", "attention_overhead"):  # fmt: skip
        assert getattr(found, name) == pytest.approx(getattr(truth, name), rel=1e-4)
    for one in measured:
        assert one.ratio(found) == pytest.approx(1, rel=1e-6)
        assert one.phase_ratios(found) == pytest.approx((1, 1, 1), rel=1e-6)


def test_no_rate_is_negative_and_none_above_the_peak() -> None:
    free = DeviceProfile("x", 1e14, 1.0, None, "", "", "", operation_overhead=1e-5)
    found = fitted_profile(steps(free), 1e11, None)
    assert 0 < found.achieved <= 1
    assert found.operation_overhead >= 0
    assert found.convolution_overhead >= found.operation_overhead
    assert found.pooling_bandwidth <= found.memory_bandwidth <= inf


def test_a_single_step_gives_the_fraction_that_it_achieved() -> None:
    demands = (Demand(2e9, 5), Demand(4e9), Demand(1e6, 3))
    one = Measured("x", (0.5, 1.0, 0.5), demands, 0)
    found = single_profile(one, 1e10, None)
    assert found.rate == pytest.approx(6.001e9 / 2, rel=1e-15)
    assert found.flops == 1e10
    assert not found.charges_traffic
    assert one.ratio(found) == pytest.approx(1, rel=1e-12)
    with pytest.raises(ValueError, match="no FLOPs"):
        single_profile(Measured("x", (1, 1, 1), (Demand(), Demand(), Demand()), 0), 1e10, None)


def test_a_measurement_holds_what_was_measured() -> None:
    found = measure(subject("mlp", {"hidden": [32]}, 8, CPU, (1, 8, 8), AdamW(lr=1e-3)), 3)
    assert all(seconds > 0 for seconds in found.seconds)
    assert found.step_seconds == sum(found.seconds)
    product = 2 * 8 * (64 * 32 + 32 * 10)
    assert found.demands[0].flops == product
    assert found.demands[1].flops == 2 * product - 2 * 8 * 64 * 32
    parameters = 64 * 32 + 32 + 32 * 10 + 10
    assert found.demands[2].flops == AdamW(lr=1e-3).flops_per_parameter * parameters
    # Weights, the collected gradient and two moments are there at once, and the gradients as they come.
    assert found.peak_bytes >= 5 * 4 * parameters
    assert found.peak_bytes < 5 * 4 * parameters + 100_000
    assert peak_flops(CPU) > 0


def test_a_model_without_parameters_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match="no trainable parameter"):
        measure(Subject("x", nn.Flatten(), torch.randn(2, 10), torch.zeros(2), cross_entropy, SGD(lr=1)), 1)


def test_every_shipped_model_is_in_both_sets() -> None:
    told: list[str] = []
    fitted = [one.name for one in fitting_set(CPU, told.append)]
    held_out = [one.name for one in held_out_set(CPU, told.append)]
    assert told == []
    assert {name.split()[0].rstrip(",") for name in fitted} == set(models)
    assert {name.split()[0].rstrip(",") for name in held_out} == set(models)
    assert not set(fitted) & set(held_out)


def test_an_unknown_model_names_the_nearest() -> None:
    with pytest.raises(ScenarioError, match="gpt"):
        subject("gtp", {}, 8, CPU)


def simnet(*arguments, cwd):
    command = [sys.executable, "-m", "simnet", "calibrate", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False,
                          env={**os.environ, "COLUMNS": "200"})  # fmt: skip


def test_a_single_model_end_to_end(tmp_path, small) -> None:
    done = simnet(
        "--model", "gpt", "--batch", "2", "--model-option", "layers=1", "--model-option", "width=16",
        "--steps", "2", "--out", "mine.yaml", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "predicted/measured 1.00" in done.stdout
    profile = read_device(tmp_path / "mine.yaml")
    assert 0 < profile.achieved <= 1
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(small({"workers": {"device": "mine.yaml"}})))
    [plan] = plans(load_file(file).scenarios[0].scenario)
    machine = plan.world.cost.machines[0]
    rate = profile.flops * profile.achieved
    assert machine.gradient_seconds() == machine.gradient_flops / rate
    assert machine.optimizer_seconds() == machine.optimizer.flops / rate
    against = simnet("--against", "mine.yaml", "--model", "mlp", "--steps", "1", cwd=tmp_path)
    assert against.returncode == 0, against.stderr
    assert "steps within 25 % of what was measured" in against.stdout


def test_a_scenario_end_to_end(tmp_path, small) -> None:
    (tmp_path / "scenario.yaml").write_text(yaml.safe_dump(small()))
    done = simnet("--scenario", "scenario.yaml", "--steps", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "wrote my-machine.yaml; in a scenario: workers: {device: ./my-machine.yaml}" in done.stdout
    assert read_device(tmp_path / "my-machine.yaml").flops > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "gtp"], "did you mean `gpt`"),
        (["--model", "gpt", "--model-option", "layers"], "layers=2"),
        (["--model", "gpt", "--model-option", "layer=2"], "layers"),
        (["--model-option", "layers=2"], "--model"),
        (["--model", "gpt", "--scenario", "quickstart"], "not both"),
        (["--device", "tpu"], "tpu"),
        (["--device", "cuda:99"], "CUDA devices"),
        (["--against", "gone.yaml"], "gone.yaml"),
    ],
)
def test_mistakes_are_one_message(tmp_path, monkeypatch, capsys, arguments, words) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["simnet", "calibrate", *arguments, "--steps", "1"])
    threads = torch.get_num_threads()
    with pytest.raises(SystemExit) as ended:
        main()
    torch.set_num_threads(threads)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
