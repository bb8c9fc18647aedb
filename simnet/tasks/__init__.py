"""What is learned: datasets, their partition over workers, models, loss and metrics.

    task = build_task(scenario, torch.device("cpu"))
    inputs, targets = task.batches(worker=3, start=0, steps=10)

`simnet.tasks.registry` lists all tasks, datasets, models and partitions by name, with their options.
"""

from simnet.tasks.build import build_task
from simnet.tasks.entry import Entry
from simnet.tasks.synthetic import SyntheticTask
from simnet.tasks.task import BatchSource, Task

__all__ = ["BatchSource", "Entry", "SyntheticTask", "Task", "build_task"]
