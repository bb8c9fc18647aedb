"""`simnet calibrate`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import torch

    from simnet.compute.calibrate import Measured, Subject
    from simnet.compute.devices import DeviceProfile


def calibrate(
    model: Annotated[
        str | None, typer.Option(help="Measure this model alone: a name of [cyan]simnet list models[/].")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Batch size, with --model.")] = 8,
    model_option: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="An option of the model, such as layers=2. Repeatable."),
    ] = None,
    scenario: Annotated[
        str | None, typer.Option(help="Measure the model, batch and optimizer of this scenario instead.")
    ] = None,
    device: Annotated[str, typer.Option(help="torch device to measure: cpu, cuda or cuda:i.")] = "cpu",
    threads: Annotated[
        int,
        typer.Option(min=1, help="CPU threads of torch; more than one where no other program computes."),
    ] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Steps to time, of which the median counts.")] = 30,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the profile goes (default: my-machine.yaml).")
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Hold this profile against new measurements; write nothing."),
    ] = None,
) -> None:
    """Measure training steps on this machine, and write a device profile that scenarios can use.

    Without [cyan]--model[/] and [cyan]--scenario[/], all shipped models are measured at several sizes, and
    the rates of arithmetic, of memory and of starting operations are fitted to them: the profile is then good
    for models of other sizes too. With one of them a single step is measured: the profile gets the fraction
    of the peak that it achieves, and is good for that model at that batch size.

    In a scenario: [cyan]workers: {device: ./my-machine.yaml}[/]. To see how good a profile is, hold it
    against sizes that it was not fitted to: [cyan]simnet calibrate --against my-machine.yaml[/].

    The machine should have nothing else to do meanwhile.
    """
    import torch

    from simnet.compute.calibrate import fitted_profile, measure, peak_flops, single_profile
    from simnet.compute.devices import resolve_device
    from simnet.compute.memory import keep_freed_memory
    from simnet.scenario import ScenarioError, read_device

    profile = None if against is None else resolve_device(read_device(against), ())
    if model is not None and scenario is not None:
        raise typer.BadParameter("give --model or --scenario, not both")
    here = _torch_device(device)
    torch.set_num_threads(threads)
    keep_freed_memory()
    chosen = _subjects(model, batch, model_option or [], scenario, here, held_out=against is not None)
    measured = []
    for subject in chosen:
        measured.append(measure(subject, steps))
        typer.echo(_line(measured[-1], profile), err=profile is None)
    if profile is not None:
        typer.echo(_verdict(measured, profile))
        return
    peak, memory = peak_flops(here), _memory(here)
    one = model is not None or scenario is not None
    try:
        found = single_profile(measured[0], peak, memory) if one else fitted_profile(measured, peak, memory)
    except ValueError as error:
        raise ScenarioError.at(("task",), str(error)) from None
    for one_measured in measured:
        typer.echo(_line(one_measured, found))
    typer.echo(_verdict(measured, found))
    file = out or Path("my-machine.yaml")
    try:
        file.write_text(_profile_text(found, measured, here), encoding="utf-8")
    except OSError as error:
        typer.echo(f"error: cannot write {file}: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"wrote {file}; in a scenario: workers: {{device: ./{file.name}}}")


def _subjects(
    model: str | None,
    batch: int,
    options: list[str],
    scenario: str | None,
    device: "torch.device",
    *,
    held_out: bool,
) -> "Iterator[Subject]":
    from simnet.compute.calibration_set import fitting_set, held_out_set, subject
    from simnet.scenario import ScenarioError
    from simnet.scenario.yaml_text import read_value

    if scenario is not None:
        yield _of_scenario(scenario, device)
        return
    if model is None:
        if options:
            raise typer.BadParameter("--model-option needs --model")
        chosen = held_out_set if held_out else fitting_set
        yield from chosen(device, lambda reason: typer.echo(f"not measured: {reason}", err=True))
        return
    given = {}
    for option in options:
        key, equals, text = option.partition("=")
        if not equals:
            raise ScenarioError.at((), "not an option of a model", given=option, expected="such as layers=2")
        given[key.strip()] = read_value(text)
    yield subject(model, given, batch, device)


def _of_scenario(name: str, device: "torch.device") -> "Subject":
    from simnet.compute.calibrate import Subject
    from simnet.experiment import load
    from simnet.plan import plans
    from simnet.scenario import ScenarioError

    plan = plans(load(name, [f"device={device}"]).scenarios[0].scenario)[0]
    task = plan.world.task
    if plan.optimizer is None:
        raise ScenarioError.at(
            ("task", "name"),
            "a task that computes nothing, so there is nothing to measure",
            given=task.name,
            expected="a task with a model",
        )
    inputs, targets = task.batches(0, 0, 1)
    return Subject(
        name=f"{plan.scenario.name}, batch {task.batch_sizes[0]}",
        model=task.make_model(),
        inputs=inputs[0],
        targets=targets[0],
        loss=task.loss,
        optimizer=plan.optimizer,
    )


def _torch_device(name: str) -> "torch.device":
    import torch

    try:
        device = torch.device(name)
    except RuntimeError:
        raise typer.BadParameter(f"{name!r} is no torch device: cpu, cuda or cuda:i") from None
    if device.type not in ("cpu", "cuda"):
        raise typer.BadParameter(f"{name!r} cannot be measured: cpu, cuda or cuda:i")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise typer.BadParameter(f"torch sees {torch.cuda.device_count()} CUDA devices on this machine")
    return device


def _memory(device: "torch.device") -> float | None:
    """Memory of the device in bytes, where the system tells."""
    import os

    import torch

    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return None


def _line(one: "Measured", profile: "DeviceProfile | None") -> str:
    """A step for people: its times, each with the profile's prediction over it, and its memory."""
    from simnet.compute.calibrate import PHASES
    from simnet.units import format_bytes, format_seconds

    ratios = [""] * 3
    if profile is not None:
        ratios = [f" ({ratio:.2f})" for ratio in one.phase_ratios(profile)]
    phases = ", ".join(
        f"{name} {format_seconds(seconds)}{ratio}"
        for name, seconds, ratio in zip(PHASES, one.seconds, ratios, strict=True)
    )
    whole = "" if profile is None else f"predicted/measured {one.ratio(profile):.2f}  "
    return (
        f"{whole}{format_seconds(one.step_seconds):>8}: {phases}; {format_bytes(one.peak_bytes)}  {one.name}"
    )


def _verdict(measured: "list[Measured]", profile: "DeviceProfile") -> str:
    within = sum(abs(one.ratio(profile) - 1) <= 0.25 for one in measured)
    return f"{within} of {len(measured)} steps within 25 % of what was measured"


def _profile_text(profile: "DeviceProfile", measured: "list[Measured]", device: "torch.device") -> str:
    """The profile as YAML, with what it was made from in comments."""
    import json
    import platform
    from math import isinf

    import torch

    from simnet.units import format_bandwidth, format_bytes, format_flops, format_seconds

    where = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    threads = "" if device.type == "cuda" else f", torch threads: {torch.get_num_threads()}"
    lines = [
        "# A device profile, written by `simnet calibrate`. In a scenario: device: ./this-file.yaml",
        "# Median times of a step, the memory of its tensors, and what the profile predicts over it:",
        *(f"#   {_line(one, profile)}" for one in measured),
        f"description: {json.dumps(f'{where}{threads}, torch {torch.__version__}')}",
        f"flops: {format_flops(profile.flops, exact=True)}",
        f"achieved: {profile.achieved!r}",
    ]
    if profile.memory is not None:
        lines.append(f"memory: {format_bytes(profile.memory, exact=True)}")
    for name in ("memory_bandwidth", "pooling_bandwidth"):
        value = getattr(profile, name)
        if not isinf(value):
            lines.append(f"{name}: {format_bandwidth(value, exact=True)}")
    for name in ("operation_overhead", "convolution_overhead", "attention_overhead"):
        value = getattr(profile, name)
        if value > 0:
            lines.append(f"{name}: {format_seconds(value, exact=True)}")
    return "\n".join(lines) + "\n"
