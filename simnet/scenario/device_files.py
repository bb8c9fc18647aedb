"""`device: ./my-machine.yaml`: a device profile in a file of its own, as `simnet calibrate` writes it."""

from pathlib import Path as FilePath
from typing import Any

from simnet.scenario.errors import Path, ScenarioError
from simnet.scenario.machines import DeviceConfig
from simnet.scenario.source import Source
from simnet.scenario.validate import validated
from simnet.scenario.yaml_text import read_yaml

SUFFIXES = (".yaml", ".yml")
"""How a `device:` ends that is a file and not a name."""


def with_device_files(mapping: dict[str, Any], source: Source) -> dict[str, Any]:
    """``mapping`` with the contents of profile files where workers and the server name them.

    So a scenario that has been read holds all that it depends on. Files are relative to the scenario that
    names them. Raises `ScenarioError` with the lines of the profile file where something is wrong in it, and
    at the scenario's key where there is no such file.
    """
    workers = mapping.get("workers")
    if isinstance(workers, list):
        workers = [_with_device(group, ("workers", i), source) for i, group in enumerate(workers)]
    else:
        workers = _with_device(workers, ("workers",), source)
    read = {"workers": workers, "server": _with_device(mapping.get("server"), ("server",), source)}
    return {**mapping, **{key: value for key, value in read.items() if key in mapping}}


def read_device(file: str | FilePath) -> DeviceConfig:
    """The device profile that a YAML file holds: the keys of a device that is described in place.

    Raises `ScenarioError` with the file and the lines of everything that is wrong.
    """
    file = FilePath(file)
    source = Source(str(file), file.resolve().parent)
    try:
        value, lines = read_yaml(file.read_text(encoding="utf-8-sig"))
        source = Source(source.name, source.folder, lines)
        if not isinstance(value, dict):
            raise ScenarioError.at(
                (), "not a device profile", expected="keys such as flops, achieved, memory"
            )
        return validated(DeviceConfig, value, ())
    except ScenarioError as error:
        raise ScenarioError(error.problems, source) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError.at((), f"{file} cannot be read: {error}") from None


def _with_device(section: Any, path: Path, source: Source) -> Any:
    device = section.get("device") if isinstance(section, dict) else None
    if not isinstance(device, str) or not device.endswith(SUFFIXES):
        return section
    at = (*path, "device")
    file = (source.folder_of(at) or FilePath()) / device
    if not file.is_file():
        raise ScenarioError.at(
            at,
            f"no such file in {source.folder_of(at) or FilePath()}",
            given=device,
            expected="a device profile, as `simnet calibrate` writes it, or a name of `simnet list devices`",
        )
    return {**section, "device": read_device(file)}
