"""Removing runs: their folders, and nothing else."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from simnet.results.errors import ResultsError
from simnet.results.folder import aside_name
from simnet.results.reading import read_run


def remove_run(folder: Path | str) -> None:
    """Remove a run's folder. It is moved aside first, so that nobody reads half of it.

    Raises:
        ResultsError: ``folder`` is not a run folder that can be read, is a link to one, or cannot be removed.
    """
    folder = Path(folder)
    if folder.is_symlink():
        raise ResultsError(f"will not remove {folder}: it is a link")
    read_run(folder)
    target = Path(os.path.realpath(folder))
    aside = aside_name(target)
    try:
        target.rename(aside)
        shutil.rmtree(aside)
    except OSError as error:
        raise ResultsError(f"cannot remove {folder}: {error.strerror or error}") from error
