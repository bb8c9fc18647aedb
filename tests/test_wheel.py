"""What a plain `pip install` brings: code, typing marker, scenario library, usable from any folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The wheel, unpacked as an installer would."""
    folder = tmp_path_factory.mktemp("wheel")
    code = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    site = folder / "site"
    with zipfile.ZipFile(folder / done.stdout.split()[-1]) as wheel:
        wheel.extractall(site)
    return site


def test_the_wheel_holds_the_library_the_report_and_the_typing_marker(installed):
    for name in ("simnet/library/quickstart.yaml", "simnet/py.typed", "simnet_analysis/py.typed"):
        assert (installed / name).is_file()
    page = ROOT / "analysis" / "simnet_analysis" / "report" / "page"
    for file in page.iterdir():
        assert (installed / "simnet_analysis" / "report" / "page" / file.name).is_file()
    assert not list(installed.glob("tests*"))
    assert not list(installed.glob("scenarios*"))


def test_a_library_scenario_runs_from_any_folder(installed, tmp_path):
    code = "import simnet, sys; sys.stderr.write(simnet.__file__); from simnet.cli.main import main; main()"
    arguments = ["run", "label-skew", "--json", "--set", "stop.steps=4", "--set", "algorithms=[allreduce]"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--set", "expect=[]"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert str(installed) in done.stderr
    assert (tmp_path / "results" / "label-skew").is_dir()
