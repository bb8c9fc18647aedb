from __future__ import annotations

import errno
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simnet.results import Manifest, Recorder, ResultsError, check_writable, read_run, run_folder, write_run
from simnet.results.folder import FILES

YAML = "name: made\nseed: 3\n"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def failing(at: int, error: BaseException) -> Callable[[Any], None]:
    """An fsync that raises at its ``at``-th call."""
    calls = iter(range(at + 1))

    def fsync(_: int) -> None:
        if next(calls, at) == at:
            raise error

    return fsync


def test_a_run_folder_holds_its_files_and_nothing_hidden_stays(
    tmp_path: Path, recorder: Recorder, manifest: Manifest
) -> None:
    folder = tmp_path / "results" / "made" / "diloco-1"
    assert write_run(folder, recorder, YAML, manifest) == folder
    assert set(contents(tmp_path)) == {f"results/made/diloco-1/{name}" for name in FILES}
    assert (folder / "scenario.yaml").read_text() == YAML
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o777 & ~umask


def test_equal_runs_give_equal_folders(tmp_path: Path, recorder: Recorder, fields: dict[str, Any]) -> None:
    one = write_run(tmp_path / "one", recorder, YAML, fields)
    two = write_run(tmp_path / "two", recorder, YAML, fields)
    assert contents(one) == contents(two)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), MemoryError()]
)
@pytest.mark.parametrize("at", range(len(FILES) + 1))
def test_whatever_fails_and_wherever_nothing_is_left(
    tmp_path: Path,
    recorder: Recorder,
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    at: int,
) -> None:
    folder = tmp_path / "results" / "made" / "diloco-1"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(at, error))
        expected = ResultsError if isinstance(error, OSError) else type(error)
        with pytest.raises(expected):
            write_run(folder, recorder, YAML, manifest)
    assert list(tmp_path.iterdir()) == []

    write_run(folder, recorder, YAML, manifest)
    before = contents(tmp_path)
    recorder.metric(99.0, "", 9, "loss", 0.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(at, error))
        with pytest.raises(expected):
            write_run(folder, recorder, YAML, manifest)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("failure", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("happens", ["before", "after"])
@pytest.mark.parametrize("at", [0, 1])
def test_renames_that_fail_leave_one_whole_run(
    tmp_path: Path,
    recorder: Recorder,
    manifest: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    failure: BaseException,
    happens: str,
    at: int,
) -> None:
    folder = write_run(tmp_path / "run", recorder, YAML, manifest)
    old = contents(folder)
    recorder.metric(99.0, "", 9, "loss", 0.0)
    rename, calls = Path.rename, iter(range(99))

    def broken(self: Path, target: Path) -> Path:
        hit = next(calls) == at
        if hit and happens == "before":
            raise failure
        result = rename(self, target)
        if hit:
            raise failure
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", broken)
        with pytest.raises((ResultsError, KeyboardInterrupt)):
            write_run(folder, recorder, YAML, manifest)
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
    committed = at == 1 and happens == "after"
    assert (contents(folder) != old) == committed
    assert len(read_run(folder).metrics) == 16 + committed


def test_a_full_disk_is_told_with_bytes_needed_and_free(
    tmp_path: Path, recorder: Recorder, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sum(
        len(content) for content in contents(write_run(tmp_path / "a", recorder, YAML, manifest)).values()
    )
    monkeypatch.setattr(os, "fsync", failing(2, OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(ResultsError) as caught:
        write_run(tmp_path / "deep" / "run", recorder, YAML, manifest)
    message = str(caught.value)
    assert str(tmp_path / "deep" / "run") in message
    assert f"No space left on device ({needed:,} bytes needed" in message
    assert re.search(r"[\d,]+ free\)", message)


def test_a_write_that_the_system_cuts_short_leaves_nothing(tmp_path: Path) -> None:
    code = f"""
import resource
from simnet.results import Recorder, ResultsError, write_run
from random import Random
random, recorder = Random(0), Recorder()
for i in range(20000):
    recorder.metric(i, "w", i, "loss", random.random())
resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000))
try:
    write_run({str(tmp_path / "x" / "run")!r}, recorder, "", {MANIFEST})
except ResultsError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


MANIFEST = {
    "label": "a",
    "algorithm": "a",
    "seed": 0,
    "versions": {"simnet": "0", "python": "3", "torch": "2", "numpy": "2"},
    "platform": "p",
    "device": "cpu",
    "engine": "loop",
    "engine_settings": {},
    "torch_threads": 1,
    "wall_seconds": 0.0,
    "virtual_seconds": 0.0,
    "steps": 0.0,
    "worker_steps": 0,
    "bytes_sent": 0.0,
    "raw_bytes_sent": 0.0,
    "utilization": 0.0,
    "final": {},
    "invariants": {},
    "status": "complete",
}

KILLED = """
import os, signal, sys
from pathlib import Path
from simnet.results import Recorder, write_run
folder, where = Path(sys.argv[1]), sys.argv[2]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if where == "file":
    calls = iter(range(99))
    os.fsync = lambda _: next(calls) == 2 and die()
elif where == "between renames":
    rename, calls = Path.rename, iter(range(99))
    Path.rename = lambda self, target: die() if next(calls) == 1 else rename(self, target)
write_run(folder, Recorder(), "killed", MANIFEST)
"""


@pytest.mark.parametrize("where", ["file", "between renames"])
def test_after_a_kill_the_next_write_tidies_up(
    tmp_path: Path, recorder: Recorder, manifest: Manifest, where: str
) -> None:
    folder = write_run(tmp_path / "run", recorder, YAML, manifest)
    before = contents(folder)
    code = KILLED.replace("MANIFEST", repr(MANIFEST))
    died = subprocess.run([sys.executable, "-c", code, str(folder), where], check=False)
    assert died.returncode == -signal.SIGKILL
    assert any(entry.name.startswith(".partial-") for entry in tmp_path.iterdir())
    write_run(tmp_path / "other", recorder, YAML, manifest)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other", "run"]
    assert contents(folder) == before  # also when it had been moved aside


def test_folders_of_living_processes_and_of_other_machines_are_left_alone(
    tmp_path: Path, recorder: Recorder, manifest: Manifest
) -> None:
    write_run(tmp_path / "run", recorder, YAML, manifest)
    host = re.sub(r"[^\w.]", "_", os.uname().nodename)[:32]
    kept = [f".partial-{host}-{os.getppid()}-x", ".partial-elsewhere.org-1-x", ".partial-notes"]
    for name in kept:
        (tmp_path / name).mkdir()
    (tmp_path / f".partial-{host}-{os.getpid()}-x").mkdir()  # an earlier process of our number
    write_run(tmp_path / "run", recorder, YAML, manifest)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([*kept, "run"])


def test_only_runs_are_replaced(tmp_path: Path, recorder: Recorder, manifest: Manifest) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for name in ("thesis", "file", "file/below"):
        for attempt in (lambda f: write_run(f, recorder, YAML, manifest), check_writable):
            with pytest.raises(ResultsError, match=name):
                attempt(tmp_path / name)
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years"
    write_run(tmp_path / "empty", recorder, YAML, manifest)
    assert read_run(tmp_path / "empty").label == "diloco"


def test_a_linked_run_folder_is_replaced_where_it_lies(
    tmp_path: Path, recorder: Recorder, manifest: Manifest
) -> None:
    real = write_run(tmp_path / "disk" / "run", recorder, YAML, manifest)
    (tmp_path / "link").symlink_to(real)
    write_run(tmp_path / "link", Recorder(), "new", manifest)
    assert (tmp_path / "link").is_symlink()
    assert read_run(real).scenario_yaml == "new"


def test_check_writable_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recorder: Recorder, manifest: Manifest
) -> None:
    check_writable(tmp_path / "a" / "b" / "run")
    assert list(tmp_path.iterdir()) == []
    write_run(tmp_path / "run", recorder, YAML, manifest)
    check_writable(tmp_path / "run")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]
    monkeypatch.setattr(os, "fsync", failing(0, OSError(errno.ENOSPC, "No space left on device")))
    with pytest.raises(ResultsError, match="No space left"):
        check_writable(tmp_path / "a" / "b" / "run")
    assert [entry.name for entry in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize(("code", "words"), [(errno.EACCES, "Permission denied"), (errno.EROFS, "Read-only")])
def test_what_may_not_be_written_is_found_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, words: str
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(ResultsError, match=f"{words}.*that you may write to"):
        check_writable(tmp_path / "a" / "run")


def test_a_manifest_that_is_none_is_refused_before_anything_is_written(
    tmp_path: Path, recorder: Recorder, fields: dict[str, Any]
) -> None:
    with pytest.raises(ResultsError, match="missing: seed"):
        write_run(tmp_path / "run", recorder, YAML, {k: v for k, v in fields.items() if k != "seed"})
    assert list(tmp_path.iterdir()) == []


def test_run_folders_have_safe_names(tmp_path: Path) -> None:
    digest = "0123456789abcdef"
    assert run_folder(tmp_path, "home", "diloco", digest) == tmp_path / "home" / "diloco-0123456789"
    hostile = run_folder(tmp_path, "../..", "a/b c:ü*" + "x" * 300, digest)
    assert hostile.parent.parent == tmp_path
    assert re.fullmatch(r"a-b-c-x+-0123456789", hostile.name)
    assert len(hostile.name) < 100
    assert run_folder(tmp_path, ".hidden", "..", digest).relative_to(tmp_path).parts == (
        "hidden",
        "run-0123456789",
    )
    for bad in ("", "12345", "../../etc", "ABCDEF0123"):
        with pytest.raises(ValueError, match="digest"):
            run_folder(tmp_path, "a", "b", bad)
