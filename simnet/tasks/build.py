"""From a scenario to its task."""

from dataclasses import replace
from typing import Any

import torch

from simnet.scenario import (
    Problem,
    Scenario,
    ScenarioError,
    choose,
    groups_of_workers,
    load_plugin,
    nearest,
    one_of,
    validated,
)
from simnet.scenario.validate import PLUGIN
from simnet.tasks.batches import KeyedBatches
from simnet.tasks.entry import Options
from simnet.tasks.registry import tasks
from simnet.tasks.task import Task


def build_task(scenario: Scenario, device: torch.device, workers: int) -> Task:
    """The task of `scenario`, shared out over so many workers, with its data and models on `device`.

    A pure function of the scenario and its seed. A task of the user's own, named `module:attribute`, is a
    function of the same arguments that gives a `Task`.

    Raises `ScenarioError` where names are unknown, options do not fit, or data are missing or unusable.
    """
    name = scenario.task.name
    if PLUGIN.fullmatch(name):
        return _own(name, scenario, device, workers)
    entry = choose(name, tasks, ("task", "name"), "task")
    _no_unknown_keys(scenario.task.options, entry.options, tuple(type(scenario.task).model_fields))
    options = validated(entry.options, scenario.task.options, ("task",))
    return _with_own_batch_sizes(entry.build(options, scenario, workers, device), scenario)


def _with_own_batch_sizes(task: Task, scenario: Scenario) -> Task:
    """`task`, with the batch sizes that groups of workers have of their own."""
    own = [index for index, group in enumerate(scenario.workers) if group.batch_size is not None]
    if not own:
        return task
    if scenario.pipeline is not None or not isinstance(task.source, KeyedBatches):
        why = "a pipeline's microbatches have one size" if scenario.pipeline else "the task has no batches"
        raise ScenarioError.at(
            ("workers", own[0], "batch_size"),
            why,
            given=scenario.workers[own[0]].batch_size,
            expected="no such key",
        )
    if scenario.task.batch_size == "full":
        raise ScenarioError.at(
            ("workers", own[0], "batch_size"),
            "`task.batch_size` is full: every worker takes all its samples",
            given=scenario.workers[own[0]].batch_size,
            expected="a number in `task.batch_size`",
        )
    groups = [scenario.workers[index] for index in groups_of_workers(scenario.workers, task.workers)]
    sizes = tuple(
        size if group.batch_size is None else group.batch_size
        for group, size in zip(groups, task.batch_sizes, strict=True)
    )
    return replace(task, batch_sizes=sizes, source=replace(task.source, batch_sizes=sizes))


def _no_unknown_keys(given: dict[str, Any], options: type[Options], shared: tuple[str, ...]) -> None:
    """Unlike `validated` alone, a misspelt key is compared with the keys that all tasks share, too."""
    known = [*shared, *options.model_fields]
    problems = [
        Problem(("task", key), "unknown key", value, one_of(known), nearest(key, known))
        for key, value in given.items()
        if key not in options.model_fields
    ]
    if problems:
        raise ScenarioError(problems)


def _own(name: str, scenario: Scenario, device: torch.device, workers: int) -> Task:
    path = ("task", "name")
    build = load_plugin(name, scenario.folder, path)
    if not callable(build):
        raise ScenarioError.at(path, f"{name} is a {type(build).__name__}", expected="a function")
    try:
        task = build(scenario, device, workers)
    except ScenarioError:
        raise
    except Exception as error:  # the user's code may raise anything
        raise ScenarioError.at(path, f"{name} failed: {type(error).__name__}: {error}") from error
    if not isinstance(task, Task) or task.workers != workers:
        given = f"a Task for {task.workers} workers" if isinstance(task, Task) else type(task).__name__
        raise ScenarioError.at(path, f"{name} gives {given}", expected=f"a Task for {workers} workers")
    return task
