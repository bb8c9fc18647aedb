"""Every snippet of the README and the documentation is run, in the order of its page.

A block runs in a folder of its page's own that has a copy of `docs/examples`, and what it writes stays there
for the blocks after it.

- `yaml`: a scenario, or some sections of one (the others come from a small one); everything that it needs is
  built.
- `python`: is executed; a page's blocks share their names.
- `console`: `$ simnet ...` is run and must end with exit code 0, or with the one that `<!-- exit code: 2 -->`
  before the block says. Lines that the page shows must come out, but for their numbers; `...` stands for any
  lines.
- `<!-- file: name -->` before a block writes it to that file, for the blocks after it.
"""

import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_pages import PAGES, ROOT, Block, blocks
from ruamel.yaml import YAML

NOT_RUN = {
    "make": "`make install` needs the package index, and the other targets are what runs these tests",
    "pip": "needs the package index",
    "git": "needs the network",
    "cd": "belongs to a clone that was not made",
    ".": "needs the environment that was not made",
    "simnet batch study.yaml --engine ray --address auto": "needs a cluster; tests/batch has one",
    "simnet batch study.yaml --engine slurm --jobs 100 --slurm partition=cpu --slurm time=60": "needs Slurm",
    "simnet run quickstart --plot": "trains for minutes; it is what `make demo` runs",
}
"""Commands (by their first word, or whole) that are shown but not run here, and why."""

LANGUAGES = {"yaml", "python", "console", "text", "toml"}
"""Languages that a block may have. The last two are shown only."""

SMALL = """
name: small
threads: 1
network:
  topology: star
  link: {bandwidth: 100 Mbps, latency: 10 ms}
workers: {count: 4, device: cpu}
task: {name: classification, batch_size: 16, optimizer: {name: sgd, lr: 0.1}}
algorithms: [allreduce]
stop: {steps: 10}
"""
"""What stands around a block with some sections of a scenario."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a page's blocks run in; torch gets one core, whatever the machine has."""
    shutil.copytree(ROOT / "docs" / "examples", tmp_path / "docs" / "examples")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    monkeypatch.setenv("COLUMNS", "92")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_of_page_run(page: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page):
        if block.language.startswith("{"):  # a directive: Sphinx's own
            continue
        assert block.language in LANGUAGES, f"{block.place}: nobody knows how to test {block.language!r}"
        if block.note == "file":
            (folder / block.value).write_text(block.text, encoding="utf-8")
        if block.language == "yaml":
            _build(block, folder)
        elif block.language == "python":
            code = compile(block.text, block.place, "exec")
            exec(code, names)
        elif block.language == "console":
            for command, shown in _commands(block):
                _run(command, shown, block, capsys)


def test_what_is_not_run_is_shown_somewhere() -> None:
    shown = {
        word
        for page in PAGES
        for block in blocks(page)
        if block.language == "console"
        for command, _ in _commands(block)
        for word in (command.split()[0], command)
    }
    assert set(NOT_RUN) <= shown, f"nobody shows {set(NOT_RUN) - shown} any more"


def _build(block: Block, folder: Path) -> None:
    """Check the scenario, and build everything that its runs need."""
    from simnet.plan import plans
    from simnet.scenario import load_text

    given = YAML(typ="safe").load(block.text)
    text = block.text
    if not {"network", "task", "algorithms", "stop"} <= set(given):
        whole = {**YAML(typ="safe").load(SMALL), **given}
        stream = io.StringIO()
        YAML(typ="safe", pure=True).dump(whole, stream)
        text = stream.getvalue()
    document = load_text(text, name=block.place, folder=folder)
    for point in document.scenarios:
        assert plans(point.scenario)


def _commands(block: Block) -> Iterator[tuple[str, list[str]]]:
    """Each command of a console block, with the lines that are shown below it."""
    parts = re.split(r"^\$ ", block.text, flags=re.M)
    assert not parts[0].strip(), f"{block.place}: output before any command"
    for part in parts[1:]:
        command, *shown = part.rstrip().split("\n")
        yield command.split("   #")[0].strip(), shown


def _run(command: str, shown: list[str], block: Block, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command)
    if command in NOT_RUN or words[0] in NOT_RUN:
        return
    assert words[0] == "simnet", f"{block.place}: {words[0]} is neither run nor listed in NOT_RUN"
    capsys.readouterr()
    code = _simnet(words)
    printed = capsys.readouterr()
    expected = int(block.value) if block.note == "exit code" else 0
    assert code == expected, f"{block.place}: {command} ended with {code}\n{printed.err}"
    lines = {_without_numbers(line) for line in (printed.out + printed.err).splitlines()}
    for line in shown:
        if line.strip() not in ("", "..."):
            assert _without_numbers(line) in lines, (
                f"{block.place}: {command} does not print\n{line}\nbut\n{printed.out}{printed.err}"
            )


def _simnet(words: list[str]) -> int:
    from simnet.cli.main import main

    before, sys.argv = sys.argv, words
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    return 0


def _without_numbers(line: str) -> str:
    """The line with each number (or hash of a run's folder) as #, and each run of blanks or dashes as one."""
    line = re.sub(r"-[0-9a-f]{10}\b", "-#", line)
    line = re.sub(r"\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?", "#", line)
    return re.sub(r"-{3,}", "---", " ".join(line.split()))
