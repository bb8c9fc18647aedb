"""Run folders: written whole or not at all.

A run is written into a hidden folder beside its target, every file is flushed to the disk, then the folder is
renamed onto the target. Whoever looks, looks at a complete run or at none; a killed process leaves at most a
hidden folder, which the next write beside it removes.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from simnet.results.errors import ResultsError
from simnet.results.manifest import Manifest
from simnet.results.recorder import Recorder

FILES = (
    *("scenario.yaml", "metrics.parquet", "transfers.parquet", "spans.parquet", "links.parquet"),
    "manifest.json",
)
"""What a run folder holds; the manifest is written last."""

_HIDDEN = re.compile(r"^\.(?P<role>partial|replaced)-(?P<host>[\w.]+)-(?P<pid>\d+)-(?P<name>.+)$")
_writing: set[Path] = set()  # hidden folders that this process works on just now (threads share a pid)


def run_folder(results: Path | str, scenario_name: str, label: str, digest: str) -> Path:
    """``results/<scenario>/<label>-<digest>``, with names made safe for file systems.

    ``digest`` identifies the resolved scenario (hexadecimal, at least 8 digits; the first 10 are used), so
    labels that differ only in characters which a file name cannot hold still get folders of their own.

    Raises:
        ValueError: ``digest`` is not such a number.
    """
    if not re.fullmatch(r"[0-9a-f]{8,}", digest):
        raise ValueError(f"a digest has at least 8 hexadecimal digits, not {digest!r}")
    return Path(results) / _file_name(scenario_name, "scenario") / f"{_file_name(label, 'run')}-{digest[:10]}"


def write_run(
    folder: Path | str,
    recorder: Recorder,
    scenario_yaml: str,
    manifest: Manifest | Mapping[str, Any],
    beside: Mapping[str, bytes] | None = None,
) -> Path:
    """Write a run to ``folder`` (parents are made) and return ``folder``: `run_files`, then `write_files`.

    Raises what they raise.
    """
    return write_files(folder, run_files(recorder, scenario_yaml, manifest, beside))


def run_files(
    recorder: Recorder,
    scenario_yaml: str,
    manifest: Manifest | Mapping[str, Any],
    beside: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """What the files of a run's folder hold, by their path in it.

    ``beside`` are files that ``scenario_yaml`` names. Raises `ResultsError` if the manifest is not one.
    """
    record = manifest if isinstance(manifest, Manifest) else Manifest.from_mapping(manifest)
    contents = {"scenario.yaml": scenario_yaml.encode(), **(beside or {}), **recorder.files()}
    contents["manifest.json"] = record.to_json().encode()
    return contents


def write_files(folder: Path | str, contents: Mapping[str, bytes]) -> Path:
    """Write the files of a run (see `run_files`) to ``folder``, whose parents are made, and return it.

    A complete run that is already there is replaced: moved aside, then deleted once the new one is in place.
    After any failure, an interrupt included, there is what there was before.

    Raises:
        ResultsError: ``folder`` holds something that is not a run; the disk is full (with bytes needed and
            free), the place is not writable, or any other ``OSError``.
    """
    with _explained(Path(folder), sum(len(content) for content in contents.values())):
        _replace_folder(Path(os.path.realpath(folder)), contents)
    return Path(folder)


def check_writable(folder: Path | str) -> None:
    """Find out before a long run whether ``write_run(folder, ...)`` could work; leaves no trace.

    Raises:
        ResultsError: It could not, as things are now.
    """
    target = Path(os.path.realpath(folder))
    with _explained(Path(folder), 4096), _parents(target) as made:
        _refuse_foreign(target)
        with _hidden_folder(target, "partial") as probe:
            probe.mkdir()
            _write_file(probe / "probe", bytes(4096))
        _remove_empty(made)


def _replace_folder(target: Path, contents: Mapping[str, bytes]) -> None:
    with _parents(target):
        _refuse_foreign(target)
        _remove_stale(target.parent)
        with _hidden_folder(target, "partial") as partial, _hidden_folder(target, "replaced") as aside:
            partial.mkdir()
            for name, content in contents.items():
                (partial / name).parent.mkdir(exist_ok=True)
                _write_file(partial / name, content)
            for written in {(partial / name).parent for name in contents}:
                _sync_folder(written)
            try:
                if target.exists():
                    target.rename(aside)
                partial.rename(target)
            finally:
                # What is on the disk decides: an interrupt may come between a rename and its bookkeeping.
                if aside.exists() and not target.exists():
                    aside.rename(target)
            _sync_folder(target.parent)


def aside_name(target: Path) -> Path:
    """A hidden name beside a folder that is to go; what a killed process leaves there, the next write
    removes.
    """
    return target.parent / f".partial-{_host()}-{os.getpid()}-{target.name}"


@contextmanager
def _hidden_folder(target: Path, role: str) -> Iterator[Path]:
    """The name of a hidden folder beside ``target``; if there is such a folder at the end, it is removed."""
    hidden = target.parent / f".{role}-{_host()}-{os.getpid()}-{target.name}"
    if hidden in _writing:
        raise ResultsError(f"{target} is being written by another thread")
    _writing.add(hidden)
    try:
        yield hidden
    finally:
        if role == "partial" or target.exists():  # else it is the only copy of a run, kept for _remove_stale
            shutil.rmtree(hidden, ignore_errors=True)
        _writing.discard(hidden)


@contextmanager
def _parents(target: Path) -> Iterator[list[Path]]:
    """Make the missing parents of ``target`` (given, deepest first); a failure removes them again."""
    made = []
    folder = target.parent
    while not folder.exists():
        made.append(folder)
        folder = folder.parent
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield made
    except BaseException:
        _remove_empty(made)
        raise


def _remove_empty(folders: list[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # not empty: somebody else uses it by now
            folder.rmdir()


def _write_file(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot sync a folder
            raise
    finally:
        os.close(descriptor)


def _refuse_foreign(target: Path) -> None:
    if not target.exists():
        return
    if not target.is_dir():
        raise ResultsError(f"cannot write a run to {target}: it is a file")
    held = {entry.name for entry in target.iterdir()}
    if held and not {"manifest.json", "metrics.parquet"} <= held:
        raise ResultsError(
            f"will not replace {target}: it is not a run folder. Move it away "
            "or choose another results folder"
        )


def _host() -> str:
    return re.sub(r"[^\w.]", "_", socket.gethostname())[:32] or "host"


def _remove_stale(parent: Path) -> None:
    """Remove what killed processes of this machine left in ``parent``.

    A run that was moved aside but never replaced goes back to its place.
    """
    for entry in sorted(parent.iterdir()):
        match = _HIDDEN.match(entry.name)
        if match is None or match["host"] != _host() or entry in _writing or _lives(int(match["pid"])):
            continue
        with suppress(OSError):  # somebody else tidies up at the same moment
            if match["role"] == "replaced" and not (parent / match["name"]).exists():
                entry.rename(parent / match["name"])
            else:
                shutil.rmtree(entry)


def _lives(pid: int) -> bool:
    if pid == os.getpid():  # and not among `_writing`: an earlier process had our number
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it lives and belongs to somebody else
        return True
    return True


@contextmanager
def _explained(folder: Path, needed: int) -> Iterator[None]:
    """Turn an ``OSError`` into a ``ResultsError`` that says what can be done about it."""
    try:
        yield
    except OSError as error:
        cause = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            cause += f" ({needed:,} bytes needed, {_free_bytes(folder)} free)"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            cause += " (choose a results folder that you may write to)"
        elif error.filename is not None:
            cause += f": {error.filename}"
        raise ResultsError(f"cannot write the run folder {folder}: {cause}") from error


def _free_bytes(folder: Path) -> str:
    for place in (folder, *folder.absolute().parents):
        with suppress(OSError):
            return f"{shutil.disk_usage(place).free:,}"
    return "an unknown number"


def _file_name(name: str, otherwise: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name, flags=re.ASCII).strip("-.")[:80] or otherwise
