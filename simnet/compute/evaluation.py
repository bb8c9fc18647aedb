"""Loss and metrics on held-out data, for several parameter vectors at once."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from simnet.compute.batched import chunks
from simnet.compute.jobs import PredictionJob
from simnet.compute.program import Program
from simnet.compute.shard import Shard

EVALUATION_SHARE = 0.25
"""Of a joint computation's memory: evaluation never makes the peak."""


def evaluate(shard: Shard, params: Sequence[Tensor]) -> list[dict[str, float]]:
    """Mean loss and metrics of each flat vector `[d]`."""
    program = shard.program
    inputs, targets = program.task.evaluation()
    budget = EVALUATION_SHARE * shard.group_bytes
    activations = max(1, program.activation_bytes)
    samples = int(max(1, min(len(inputs), budget // activations)))
    models = int(max(1, budget // (samples * activations + program.initial_params.nbytes)))
    results: list[dict[str, float]] = []
    program.evaluate()
    with torch.no_grad():
        for part in chunks(params, models):
            results += _evaluate_models(program, shard.stacked(part), inputs, targets, samples)
    return results


def run_predictions(shard: Shard, jobs: Sequence[PredictionJob]) -> None:
    """Run prediction jobs, one after the other: each has several models on the same samples."""
    program = shard.program
    program.evaluate()
    with torch.no_grad():
        for job in jobs:
            inputs, targets = program.task.gather([(job.worker, job.first_batch)], job.batches)
            samples, wanted = inputs[:, 0].flatten(0, 1), targets[:, 0].flatten(0, 1)
            rows = shard.stacked(list(job.params))
            classes = [outputs.argmax(dim=-1) for _, outputs in _outputs(program, rows, samples)]
            job.result = torch.cat(classes), wanted


def _evaluate_models(
    program: Program, params: Tensor, inputs: Tensor, targets: Tensor, samples: int
) -> list[dict[str, float]]:
    functions = {"loss": program.task.loss, **program.task.metrics}
    sums = {name: params.new_zeros(len(params), dtype=torch.float64) for name in functions}
    counts = dict.fromkeys(functions, 0)
    for start in range(0, len(inputs), samples):
        part = slice(start, start + samples)
        for rows, outputs in _outputs(program, params, inputs[part]):
            wanted = targets[part].expand(len(outputs), *targets[part].shape)
            for name, function in functions.items():
                values = function(outputs, wanted).flatten(1)
                sums[name][rows] += values.double().sum(1)
                counts[name] += values.shape[1] if rows.start == 0 else 0
    columns = {name: (total / counts[name]).tolist() for name, total in sums.items()}
    return [{name: column[row] for name, column in columns.items()} for row in range(len(params))]


def _outputs(program: Program, params: Tensor, inputs: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Outputs `[rows, samples, ...]` of the models, all at once or one after the other."""
    views = program.layout.views(params)
    if program.mode != "loop":
        yield slice(0, len(params)), program.outputs(views, inputs.expand(len(params), *inputs.shape))
        return
    for row in range(len(params)):
        program.load([view[row] for view in views], program.initial_buffers)
        yield slice(row, row + 1), program.outputs_of_one(inputs).unsqueeze(0)
