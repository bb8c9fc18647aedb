"""The scenarios that come with simnet."""

from pathlib import Path

from simnet.scenario.errors import Problem, ScenarioError, nearest
from simnet.scenario.source import Source
from simnet.scenario.validate import one_of


def library_folder() -> Path:
    """The folder of the scenarios that come with simnet: in the package, or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "library"
    return installed if installed.is_dir() else package.parent / "scenarios"


def library_names() -> list[str]:
    """Their names, such as ``quickstart`` and ``pipeline/latency``, in order."""
    folder = library_folder()
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml"))


def find_scenario(name: str | Path) -> Path:
    """The file that ``name`` means: an existing path, else a scenario of the library by name.

    Raises `ScenarioError` with the nearest name if there is neither, or if it is a folder.
    """
    path = Path(name)
    try:
        found, folder = path.exists(), path.is_dir()
    except OSError:  # a name that no file system takes
        found = folder = False
    if found and not folder:
        return path
    wanted = str(name).removesuffix(".yaml").removesuffix(".yml")
    names = library_names()
    if wanted in names:
        return library_folder() / f"{wanted}.yaml"
    if folder:
        problem = Problem((), "a folder, not a scenario", expected="a YAML file")
    else:
        message = "no such file, and no scenario of the library"
        problem = Problem((), message, expected=one_of(names), suggestion=nearest(wanted, names))
    raise ScenarioError([problem], Source(str(name)))
