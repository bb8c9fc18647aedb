"""Scenarios around a task section, for the tests of this room."""

from pathlib import Path
from typing import Any

import torch

from simnet.scenario import Scenario, Source
from simnet.tasks import Task, build_task

CPU = torch.device("cpu")


def scenario(
    task: dict[str, Any],
    *,
    workers: int = 4,
    seed: int = 0,
    samples: int | None = None,
    algorithm: str = "allreduce",
    folder: Path | None = None,
) -> Scenario:
    section = {"batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.1}, **task}
    evaluate = {"every": "10 steps"} | ({} if samples is None else {"samples": samples})
    made = Scenario.model_validate(
        {
            "name": "test",
            "seed": seed,
            "network": {
                "topology": {"kind": "star", "nodes": workers},
                "link": {"bandwidth": "100 Mbps", "latency": "1 ms"},
            },
            "workers": {"device": "cpu"},
            "task": section,
            "algorithms": [algorithm],
            "stop": {"steps": 10},
            "evaluate": evaluate,
        }
    )
    return made if folder is None else made.read_from(Source("test.yaml", folder))


def task(section: dict[str, Any], **options: Any) -> Task:
    return build_task(scenario(section, **options), CPU, options.get("workers", 4))
