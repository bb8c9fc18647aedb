"""Results for other tools: one file of CSV or Parquet, TensorBoard's event files, an MLflow store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.results import parquet
from simnet.results.columns import frame, leaves, run_names
from simnet.results.errors import ResultsError
from simnet.results.query import query

if TYPE_CHECKING:
    from simnet.results.run import Run


def write_table(runs: Sequence[Run], table: str, path: Path) -> int:
    """Write ``runs``, or one of the tables of all of them, to a .csv or .parquet file; gives its rows.

    Raises:
        ResultsError: There is no such table, the suffix is another one, or the file cannot be written.
    """
    if table != "runs" and table not in parquet.TABLES:
        raise ResultsError(f"there is no table {table!r}; expected one of runs, {', '.join(parquet.TABLES)}")
    if path.suffix not in (".csv", ".parquet"):
        raise ResultsError(f"{path} is neither a .csv nor a .parquet file")
    data = frame(runs) if table == "runs" else query(runs, f"SELECT * FROM {table}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            data.to_csv(path, index=False)
        else:
            data.to_parquet(path, index=False)
    except OSError as error:
        raise ResultsError(f"cannot write {path}: {error.strerror or error}") from error
    return len(data)


def to_tensorboard(runs: Sequence[Run], folder: Path) -> None:
    """Metrics of runs as TensorBoard's event files, a folder per run below ``folder``.

    A scalar's step is the step of the metric, its wall time the virtual time in seconds (TensorBoard's axis
    "relative"). Metrics of nodes are called ``node/metric``. The keys of the scenario are hyperparameters.

    Raises:
        ResultsError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ResultsError(
            "TensorBoard is not installed: pip install 'simnet[tensorboard]' brings it"
        ) from None
    for run, name in zip(runs, run_names(runs), strict=True):
        writer = SummaryWriter(str(folder / name))
        for tag, step, time, value in _scalars(run):
            writer.add_scalar(tag, value, step, walltime=time)
        writer.add_text("scenario", f"```yaml\n{run.scenario_yaml}\n```")
        writer.close()


def to_mlflow(runs: Sequence[Run], folder: Path) -> None:
    """Runs as runs of an MLflow store, the database ``folder/mlflow.db``, with an experiment per scenario.

    Keys of the scenario are parameters, metrics have their steps and the virtual time in milliseconds as
    their timestamp; metrics of nodes are called ``node/metric``. ``mlflow ui --backend-store-uri
    sqlite:///folder/mlflow.db`` shows it.

    Raises:
        ResultsError: MLflow is not installed.
    """
    try:
        from mlflow.entities import Metric, Param
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise ResultsError("MLflow is not installed: pip install 'simnet[mlflow]' brings it") from None
    folder.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=f"sqlite:///{folder.absolute() / 'mlflow.db'}")
    for run, name in zip(runs, run_names(runs), strict=True):
        title = str(run.scenario.get("name", "simnet"))
        known = client.get_experiment_by_name(title)
        experiment = client.create_experiment(title) if known is None else known.experiment_id
        made = client.create_run(experiment, start_time=0, run_name=name).info.run_id
        params = [Param(key, str(value)) for key, value in leaves(run.scenario) if value != ""]
        for start in range(0, len(params), 100):  # as many as a store takes at once
            client.log_batch(made, params=params[start : start + 100])
        metrics = [
            Metric(_safe(tag), value, int(1000 * time), step) for tag, step, time, value in _scalars(run)
        ]
        for start in range(0, len(metrics), 1000):
            client.log_batch(made, metrics=metrics[start : start + 1000])
        client.set_terminated(made, end_time=int(1000 * run.manifest.virtual_seconds))


EXPORTS: Mapping[str, Callable[[Sequence[Run], Path], None]] = {
    "tensorboard": to_tensorboard,
    "mlflow": to_mlflow,
}
"""Other tools that metrics can be written for."""


def _scalars(run: Run) -> list[tuple[str, int, float, float]]:
    """Name, step, virtual time and value of every metric that is finite."""
    columns: tuple[list[Any], ...] = tuple(
        run.metrics[name].tolist() for name in ("node", "name", "step", "time", "value")
    )
    return [
        (f"{node}/{name}" if node else name, step, time, value)
        for node, name, step, time, value in zip(*columns, strict=True)
        if isfinite(value)
    ]


def _safe(name: str) -> str:
    """MLflow takes letters, digits and a few signs."""
    return "".join(sign if sign.isalnum() or sign in "_-./ :" else "_" for sign in name)
