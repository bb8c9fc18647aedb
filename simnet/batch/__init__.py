"""Many runs: what is left to do of them, carried out by processes of this machine, by Ray or by Slurm.

Nothing here imports torch but the processes that run something, and nothing but `on_ray` imports Ray.
"""

from simnet.batch.batch import Batch, Report, Watcher, carry_out_batch, survey
from simnet.batch.engine import Engine, Standing
from simnet.batch.local import LocalEngine
from simnet.batch.runs import BatchRun, batch_runs
from simnet.batch.work import Ended

__all__ = [
    "Batch",
    "BatchRun",
    "Ended",
    "Engine",
    "LocalEngine",
    "Report",
    "Standing",
    "Watcher",
    "batch_runs",
    "carry_out_batch",
    "survey",
]
