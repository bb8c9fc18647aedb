"""Figures to files."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from simnet.results import ResultsError
from simnet_analysis.style import paper_style

_METADATA: dict[str, dict[str, Any]] = {  # what would name the date or the version of matplotlib
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


def save_figure(figure: Figure, path: Path | str, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write ``figure`` to ``path`` with each of ``formats`` ("png", "pdf", "svg") as suffix; the paths.

    The parent folder is made. Equal figures give equal bytes. Each file is written aside and then renamed.

    Raises:
        ResultsError: A file cannot be written.
        ValueError: A format is none of the three.
    """
    unknown = [suffix for suffix in formats if suffix not in _METADATA]
    if unknown:
        raise ValueError(f"formats must be of {', '.join(_METADATA)}, not {', '.join(unknown)}")
    stem = Path(path)
    if stem.suffix.removeprefix(".") in _METADATA:
        stem = stem.with_suffix("")
    written = []
    for suffix in formats:
        target = stem.parent / f"{stem.name}.{suffix}"
        partial = stem.parent / f".{stem.name}-{os.getpid()}.{suffix}"
        try:
            stem.parent.mkdir(parents=True, exist_ok=True)
            with paper_style():
                figure.savefig(partial, format=suffix, metadata=_METADATA[suffix])
            partial.replace(target)
        except OSError as error:
            raise ResultsError(f"cannot write the figure {target}: {error.strerror or error}") from error
        finally:
            with suppress(OSError):  # it was renamed, or never came to be
                partial.unlink()
        written.append(target)
    return written
