"""`simnet report` on the command line."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from simnet.cli.main import app


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(app, ["report", *words])


def test_the_page_goes_beside_the_runs_unless_told_otherwise(call, write_one, tmp_path):
    write_one("a", [2.0, 1.0])
    write_one("b", [2.0, 1.0])
    done = call("results")
    assert (done.exit_code, done.output) == (0, f"report:  {'results/made/report.html'}\n")
    assert (tmp_path / "results" / "made" / "report.html").is_file()
    assert call("results", "-o", "pages/mine.html").exit_code == 0
    assert (tmp_path / "pages" / "mine.html").is_file()
    # A page among the runs does not keep them from being read.
    assert call("results", "-o", "again.html").exit_code == 0
    assert (tmp_path / "again.html").read_bytes() == (tmp_path / "pages" / "mine.html").read_bytes()


def test_filters_choose_runs(call, write_one, tmp_path):
    write_one("here", [2.0, 1.0])
    write_one("there", [2.0, 1.0])
    assert call("results", "algorithm=here", "-o", "one.html").exit_code == 0
    page = (tmp_path / "one.html").read_text()
    assert "here" in page
    assert "there-" not in page


def test_metric_and_target_reach_the_page(call, write_one, tmp_path):
    write_one("a", [2.0, 1.0], accuracy=True)
    assert call("results", "--metric", "accuracy", "--target", "0.6", "-o", "one.html").exit_code == 0
    assert "time to accuracy 0.6" in (tmp_path / "one.html").read_text()


def test_a_page_is_html(call, write_one):
    write_one("a", [2.0, 1.0])
    done = call("results", "-o", "report.pdf")
    assert done.exit_code == 2
    assert "is not a .html file" in done.output


def test_a_run_can_end_with_its_report(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small.yaml").write_text(json.dumps(small()))  # JSON is YAML
    done = CliRunner().invoke(app, ["run", "small.yaml", "--report"])
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[-1] == "report:  results/small/report.html"
    assert "<title>small</title>" in (tmp_path / "results" / "small" / "report.html").read_text()
