"""Labelled samples from a local .npz or .csv file."""

import zipfile
from pathlib import Path

import numpy as np
from pydantic import Field

from simnet.scenario import ScenarioError, nearest, one_of
from simnet.tasks.data.samples import Arrays, Samples, TrainFraction, make_samples
from simnet.tasks.data.text import unreadable
from simnet.tasks.entry import Options, Origin


class ArrayFileOptions(Options):
    """Options of `array-file`."""

    path: str = Field(
        description="A .npz file with arrays `x` [samples, ...] and `y` [samples], or a .csv file with a "
        "header; relative to the scenario's folder.",
        min_length=1,
    )
    label: str = Field("label", description="For .csv: the column with the labels; all others are numbers.")
    train_fraction: TrainFraction = Field(
        0.8, description="Fraction of the samples, chosen by the seed, to train on; the rest is held out."
    )


def build_array_file(options: ArrayFileOptions, origin: Origin) -> Samples:
    """Samples from `x` and `y` of a .npz file, or the rows of a .csv file.

    Labels of a .csv file that are not numbers become 0, 1, ... in alphabetical order.
    Raises `ScenarioError` where the file is missing, is something else, or does not fit.
    """
    file = origin.locate(options.path)
    readers = {".npz": _npz, ".csv": _csv}
    if file.suffix.lower() not in readers:
        raise ScenarioError.at(
            origin.at("path"), "unknown kind of file", given=options.path, expected="a .npz or .csv file"
        )
    try:
        arrays = readers[file.suffix.lower()](file, options, origin)
    except OSError as error:
        raise unreadable(file, error, origin) from None
    return make_samples(arrays, None, options.train_fraction, origin, file.name)


def _npz(file: Path, options: ArrayFileOptions, origin: Origin) -> Arrays:
    try:
        with np.load(file, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ScenarioError.at(origin.at("path"), f"{file.name} is not a .npz archive")
            missing = [name for name in ("x", "y") if name not in archive]
            if missing:
                raise ScenarioError.at(
                    origin.at("path"),
                    f"{file.name} has no array {' and no array '.join(missing)}",
                    given=one_of(archive.files),
                    expected="arrays x [samples, ...] and y [samples]",
                )
            return archive["x"], archive["y"]
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise ScenarioError.at(
            origin.at("path"), f"{file.name} cannot be read as arrays of numbers: {error}"
        ) from None


def _csv(file: Path, options: ArrayFileOptions, origin: Origin) -> Arrays:
    import pandas as pd

    try:
        table = pd.read_csv(file)
    except (ValueError, UnicodeDecodeError) as error:  # pandas' parser errors are ValueErrors
        raise ScenarioError.at(origin.at("path"), f"{file.name} is not a table: {error}") from None
    columns = [str(column) for column in table.columns]
    if options.label not in columns:
        raise ScenarioError.at(
            origin.at("label"),
            f"{file.name} has no column of that name",
            given=options.label,
            expected=one_of(columns),
            suggestion=nearest(options.label, columns),
        )
    labels = table.pop(options.label)
    for name, column in table.items():
        if not pd.api.types.is_numeric_dtype(column):
            raise ScenarioError.at(origin.path, f"column `{name}` of {file.name} does not hold numbers")
    if not pd.api.types.is_numeric_dtype(labels):
        if labels.isna().any():
            raise ScenarioError.at(origin.at("label"), f"some labels in {file.name} are missing")
        labels = labels.astype("category").cat.codes
    return table.to_numpy(dtype=np.float64), labels.to_numpy()
