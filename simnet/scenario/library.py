"""The scenarios that come with simnet, and the networks that scenarios can use."""

from pathlib import Path

from simnet.scenario.errors import Path as KeyPath
from simnet.scenario.errors import Problem, ScenarioError, nearest
from simnet.scenario.source import Source
from simnet.scenario.validate import one_of
from simnet.scenario.yaml_text import read_yaml

_NETWORKS = "networks/"
"""Where the library keeps networks, which are no scenarios."""


def library_folder() -> Path:
    """The folder of the scenarios that come with simnet: in the package, or in the checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "library"
    return installed if installed.is_dir() else package.parent / "scenarios"


def library_names() -> list[str]:
    """Their names, such as ``quickstart`` and ``pipeline/latency``, in order."""
    return [name for name in _names() if not name.startswith(_NETWORKS)]


def network_names() -> list[str]:
    """The networks that scenarios can use, such as ``networks/home-broadband``, in order."""
    return [name for name in _names() if name.startswith(_NETWORKS)]


def network_descriptions() -> dict[str, str]:
    """What each of these networks is, in a line: its `description`."""
    described = {}
    for name in network_names():
        value, _ = read_yaml((library_folder() / f"{name}.yaml").read_text(encoding="utf-8"))
        described[name] = str(value.get("description", "")) if isinstance(value, dict) else ""
    return described


def _names() -> list[str]:
    folder = library_folder()
    return sorted(file.relative_to(folder).with_suffix("").as_posix() for file in folder.rglob("*.yaml"))


def find_network(name: str, folder: Path | None, path: KeyPath) -> Path:
    """The file that ``use: name`` means: one relative to ``folder``, else of the library, with or without
    suffix.

    Raises `ScenarioError` at ``path`` with the nearest name if there is none.
    """
    for candidate in (name, f"{name}.yaml"):
        try:
            if ((folder or Path()) / candidate).is_file():
                return (folder or Path()) / candidate
        except OSError:  # a name that no file system takes
            continue
    known = [*network_names(), *library_names()]
    wanted = name.removesuffix(".yaml").removesuffix(".yml")
    for candidate in (wanted, f"{_NETWORKS}{wanted}"):
        if candidate in known:
            return library_folder() / f"{candidate}.yaml"
    short = {each.removeprefix(_NETWORKS): each for each in network_names()}
    raise ScenarioError.at(
        path,
        f"no such file in {folder or Path()}, and no network of the library",
        given=name,
        expected=f"a YAML file with a `network`, or {one_of(network_names())}",
        suggestion=nearest(name, network_names()) or short.get(nearest(name, short), ""),
    )


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
