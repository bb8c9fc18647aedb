"""Results and figures from the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from simnet.cli.main import main

OLD = Path(__file__).parents[1] / "results" / "old"

Ask = Callable[..., tuple[int, str, str]]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs a command in this process; gives its exit code, output and errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["simnet", *map(str, words)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def results(tmp_path: Path) -> Path:
    import shutil

    shutil.copytree(OLD, tmp_path / "results")
    return tmp_path / "results"


def test_ls_lists_and_filters(ask: Ask, results: Path) -> None:
    code, out, _ = ask("results", "ls", results, "network.link.bandwidth<1Gbps")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[2:]] == ["schema-1", "schema-2", "schema-2-first"]
    code, out, _ = ask("results", "ls", results, "--format", "json", "--columns", "run,network.link.latency")
    assert json.loads(out)[0] == {"run": "schema-1", "network.link.latency": "10 ms"}
    code, _, err = ask("results", "ls", results, "network.link.bandwith<1Gbps")
    assert code == 2
    assert "did you mean `network.link.bandwidth`" in err


def test_show_is_of_one_run(ask: Ask, results: Path) -> None:
    code, out, _ = ask("results", "show", results / "schema-1")
    assert code == 0
    assert "network.link.latency" in out
    code, _, err = ask("results", "show", results)
    assert code == 2
    assert "3 runs are meant" in err
    assert ask("results", "show", results / "schema-2", "--yaml")[1].startswith("name: tiny")


def test_query_prints_what_sql_gives(ask: Ask, results: Path) -> None:
    sql = "SELECT run, count(*) AS n FROM metrics WHERE name = 'loss' AND node = '' GROUP BY 1 ORDER BY 1"
    code, out, _ = ask("results", "query", sql, results, "--format", "csv")
    assert (code, out.splitlines()[:2]) == (0, ["run,n", "schema-1,3"])
    assert ask("results", "query", "SELECT nothing FROM runs", results)[0] == 2


def test_rm_asks_and_takes_runs_alone(ask: Ask, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    (results / "notes.txt").write_text("mine")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert ask("results", "rm", results)[0] == 1
    assert len(list(results.iterdir())) == 4
    code, out, _ = ask("results", "rm", results, "simnet=0.1.0", "--yes")
    assert code == 0
    assert "removed 3 runs" in out
    assert [one.name for one in results.iterdir()] == ["notes.txt"]


def test_plot_takes_a_kind_and_says_what_it_takes(ask: Ask, results: Path, tmp_path: Path) -> None:
    code, out, _ = ask("plot", "target", results / "schema-2", "-o", tmp_path / "f", "--format", "svg")
    assert code == 0, out
    assert (tmp_path / "f" / "target.svg").is_file()
    code, out, _ = ask("plot", "target", "--options")
    assert "--of" in out
    for words, said in (
        (("plot", "targt", results), "did you mean target"),
        (("plot", "target", results, "--until", "3s"), "has no --until"),
        (("plot", "heatmap", results), "missing"),
        (("plot", "target", results / "schema-2", "--width", "huge"), "width must be"),
        (("plot", "target", results / "schema-2", "--of", "euros"), "none of time"),
        (("plot", "target", results / "schema-2", "--of", "dollars"), "dollars cannot be told"),
    ):
        code, _, err = ask(*words)
        assert code == 2, words
        assert said in " ".join(err.replace("│", " ").split()), (words, err)


def test_trace_writes_a_file(ask: Ask, results: Path, tmp_path: Path) -> None:
    assert ask("trace", results / "schema-2", "-o", tmp_path / "t.json")[0] == 0
    assert json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert "3 runs are meant" in ask("trace", results)[2]
