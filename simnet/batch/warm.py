"""Imported once, by the process that all workers are forked from: what every run needs.

A tiny run is done, so that what is slow the first time (compiled functions that are loaded, tables that are
written) has been done before the fork. It learns something where torch has no CUDA: on other machines a
backward pass would start threads and touch the GPU, and neither survives a fork.
"""

import gc

import pandas as pd
import torch

from simnet.experiment import carry_out
from simnet.plan import plans
from simnet.scenario import load_text

LEARNS = "name: classification, batch_size: 1, optimizer: {name: sgd, lr: 0.1}"
COUNTS = "name: synthetic, parameters: 10, step_seconds: 0.1 s"
SCENARIO = """
name: warm
device: cpu
threads: 1
network: {{topology: star, link: {{bandwidth: 1 Gbps, latency: 1 ms}}}}
workers: {{count: 2, device: cpu}}
task: {{{task}}}
algorithms: [allreduce]
stop: {{steps: 2}}
"""


def warm_up() -> None:
    """Do a tiny run; nothing is written."""
    torch.set_num_threads(1)
    text = SCENARIO.format(task=LEARNS if torch.version.cuda is None else COUNTS)
    (plan,) = plans(load_text(text).scenarios[0].scenario)
    carry_out(plan)
    pd.DataFrame({"a": [1.0]})


warm_up()
gc.collect()
gc.freeze()  # what is here now is never garbage; looking at it would copy its pages in every process
