"""Text as bytes, and the embedded texts that come with every CPython."""

import os
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simnet.scenario import ScenarioError
from simnet.scenario.fields import Number
from simnet.tasks.data.samples import TrainFraction
from simnet.tasks.entry import Options, Origin

Megabytes = Annotated[Number, Field(gt=0)]


@dataclass(frozen=True, eq=False)
class Text:
    """A text for a byte-level language model: documents one after the other, in a fixed order."""

    data: NDArray[np.uint8]
    train_fraction: float


class TextOptions(Options):
    """Options of every text."""

    train_fraction: TrainFraction = Field(
        0.9,
        description="Fraction of the text to train on; the rest, taken evenly from all over it, is held out.",
    )


class PythonSourcesOptions(TextOptions):
    """Options of `python-sources`."""

    megabytes: Megabytes = Field(1.0, description="Size in MB (1e6 bytes) at which to stop.")


class TextFileOptions(TextOptions):
    """Options of `text-file`."""

    path: str = Field(description="The file, relative to the scenario's folder; read as bytes.", min_length=1)
    megabytes: Megabytes | None = Field(
        None, description="Size in MB (1e6 bytes) at which to stop; the whole file if not given."
    )


def make_text(data: bytes, train_fraction: float) -> Text:
    """A text out of bytes."""
    return Text(np.frombuffer(data, dtype=np.uint8), train_fraction)


def build_python_docs(options: TextOptions, origin: Origin) -> Text:
    """CPython's own language reference (`pydoc_data.topics`), about half a megabyte."""
    from pydoc_data.topics import topics

    return make_text("\n".join(topics[name] for name in sorted(topics)).encode(), options.train_fraction)


def build_python_sources(options: PythonSourcesOptions, origin: Origin) -> Text:
    """The standard library's own modules, in alphabetical order, without its tests.

    Raises `ScenarioError` where this Python has no source files.
    """
    limit = int(options.megabytes * 1e6)
    folder = Path(sysconfig.get_paths()["stdlib"])
    parts: list[bytes] = []
    size = 0
    for file in source_files(folder):
        text = file.read_bytes()
        try:
            text.decode()
        except UnicodeDecodeError:
            continue
        parts.append(text)
        size += len(text)
        if size >= limit:
            break
    if not parts:
        raise ScenarioError.at(
            origin.path, f"this Python has no source files in {folder}", expected="another dataset"
        )
    return make_text(b"".join(parts)[:limit], options.train_fraction)


SKIPPED_FOLDERS = {
    "test",
    "tests",
    "idle_test",
    "site-packages",
    "dist-packages",
    "__pycache__",
    "lib-dynload",
}


def source_files(folder: Path) -> Iterator[Path]:
    """The .py files below `folder` in a fixed order, but for tests and installed packages."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        for name in sorted(files):
            if name.endswith(".py"):
                yield Path(place) / name


def build_text_file(options: TextFileOptions, origin: Origin) -> Text:
    """A local file. Raises `ScenarioError` where it cannot be read."""
    file = origin.locate(options.path)
    try:
        with file.open("rb") as stream:
            data = stream.read(-1 if options.megabytes is None else int(options.megabytes * 1e6))
    except OSError as error:
        raise unreadable(file, error, origin) from None
    return make_text(data, options.train_fraction)


def unreadable(file: Path, error: OSError, origin: Origin) -> ScenarioError:
    """The error for a file that a dataset's `path` names."""
    message = (
        "there is no such file"
        if isinstance(error, FileNotFoundError)
        else f"cannot read {file}: {error.strerror}"
    )
    return ScenarioError.at(origin.at("path"), message, given=str(file), expected="a file that can be read")
