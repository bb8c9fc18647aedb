"""What a run is: a hash of everything that its result follows from.

That is the resolved scenario of one algorithm (with the number of torch threads), what the files say that it
names, the code that it names, and simnet's version.
"""

import hashlib
import json
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, entry_points, version
from importlib.util import find_spec
from pathlib import Path as FilePath
from sysconfig import get_paths

from simnet.network.kept_files import KeptFiles
from simnet.scenario import Path, Scenario, canonical
from simnet.scenario.plugins import file_beside
from simnet.scenario.validate import PLUGIN
from simnet.scenario.walk import everything_below

WITHOUT_EFFECT = ("name", "description", "expect", "sweep")
"""Keys of a scenario that do not change what a run of one of its algorithms gives."""


def identity(scenario: Scenario, network_files: KeptFiles) -> str:
    """The hash (SHA-256, hexadecimal) that stands for the run of ``scenario``, which has one algorithm.

    What files say takes the place of their names: those of the network (``network_files``) and of the
    dataset. Code that the scenario names as ``module:attribute``, and methods that other packages install,
    count by their source files. `threads` must be resolved: it changes rounding. Raises `OSError` where a
    file is there and cannot be read.
    """
    stated = canonical(scenario, {**network_files.hashes, **_dataset_hashes(scenario)})
    for key in WITHOUT_EFFECT:
        stated.pop(key, None)
    text = json.dumps([_version(), stated, named_code(scenario)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def named_code(scenario: Scenario) -> dict[str, str]:
    """A hash of the source of everything that ``scenario`` names as ``module:attribute``, by that name."""
    installed = _installed_methods()
    found: dict[str, str] = {}
    for path, value in everything_below(scenario, ()):
        if not isinstance(value, str) or path[0] in WITHOUT_EFFECT:
            continue
        if path[0] == "algorithms" and path[2:] == ("name",) and value in installed:
            found[value] = _hash_installed(installed[value].partition(":")[0])
        elif PLUGIN.fullmatch(value):
            module = value.partition(":")[0]
            beside = file_beside(module, scenario.folder)
            found[value] = _hash_file(beside) if beside else _hash_installed(module)
    return {name: source for name, source in found.items() if source}


@cache
def _version() -> str:
    return version("simnet")


@cache
def _installed_methods() -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group="simnet.algorithms")}


def _dataset_hashes(scenario: Scenario) -> dict[Path, str]:
    """What the file of a dataset that is one (`array-file`, `text-file`) says, by the path of its key."""
    dataset = scenario.task.dataset
    name = dataset.options.get("path") if dataset is not None else None
    if not isinstance(name, str):
        return {}
    file = (scenario.folder or FilePath()) / name
    return {("task", "dataset", "path"): _hash_file(file)} if file.is_file() else {}


@cache
def _hash_installed(module: str) -> str:
    """A hash of the top package of ``module``, "" where it is not installed or is simnet's own.

    A package in site-packages is what its version says; any other one is what all its source files say.
    """
    top = module.partition(".")[0]
    try:
        found = find_spec(top)
    except (ImportError, ValueError):
        found = None
    if found is None or found.origin is None or top == "simnet":
        return ""
    origin = FilePath(found.origin)
    if origin.is_relative_to(get_paths()["purelib"]):
        try:
            return f"{top} {version(top)}"
        except PackageNotFoundError:
            pass  # the distribution has another name than its package
    files = sorted(origin.parent.rglob("*.py")) if found.submodule_search_locations else [origin]
    parts = [f"{file.relative_to(origin.parent)} {_hash_file(file)}" for file in files if file.is_file()]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _hash_file(file: FilePath) -> str:
    now = file.stat()
    return _hash_content(file, now.st_mtime_ns, now.st_size)


@lru_cache(maxsize=4096)
def _hash_content(file: FilePath, changed_ns: int, size: int) -> str:
    """A hash of the content that ``file`` has since ``changed_ns``."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
