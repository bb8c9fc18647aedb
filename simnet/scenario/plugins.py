"""Code that a scenario names as `module:attribute`."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from simnet.scenario.errors import ScenarioError, nearest
from simnet.scenario.validate import PLUGIN


def load_plugin(spec: str, base: Path | None, path: Sequence[str | int]) -> object:
    """The object that ``spec`` (``module:attribute``) names, which stands at ``path`` in the scenario.

    ``module.py`` in the folder ``base`` (beside the scenario) comes before an installed module of that
    name. A file is run once per content: naming it twice gives the same objects, editing it gives new ones.
    Raises `ScenarioError` if there is no such module, if it fails while it is imported, or has no such
    attribute.
    """
    if not PLUGIN.fullmatch(spec):
        raise ScenarioError.at(
            path, "not module:attribute", given=spec, expected="a name such as my_method:MyMethod"
        )
    module_name, attribute = spec.split(":")
    found = file_beside(module_name, base)
    if found is not None:
        module = _from_file(found, spec, path)
    else:
        module = _installed(module_name, _beside(module_name, base), spec, path)
    if not hasattr(module, attribute):
        public = [name for name in vars(module) if not name.startswith("_")]
        raise ScenarioError.at(
            path,
            f"{module.__file__ or module_name} has no `{attribute}`",
            given=spec,
            suggestion=f"{module_name}:{near}" if (near := nearest(attribute, public)) else "",
        )
    return getattr(module, attribute)


def file_beside(module: str, base: Path | None) -> Path | None:
    """The file of ``module`` in the folder ``base``, if there is one: it comes before an installed module."""
    beside = _beside(module, base)
    return beside if beside is not None and beside.is_file() else None


def _beside(module: str, base: Path | None) -> Path | None:
    return base / f"{module.replace('.', '/')}.py" if base else None


def _from_file(file: Path, spec: str, path: Sequence[str | int]) -> ModuleType:
    # A name of its own, so that a file beside the scenario never takes the place of an installed module.
    digest = hashlib.sha256(str(file.resolve()).encode() + b"\0" + file.read_bytes()).hexdigest()[:16]
    name = f"simnet_plugin_{digest}_{file.stem}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise ScenarioError.at(path, f"{file} is not a Python module", given=spec)
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pydantic look their module up while it is being run
    try:
        found.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise _failed(file, error, spec, path) from error
    return module


def _installed(name: str, beside: Path | None, spec: str, path: Sequence[str | int]) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(name, error, spec, path) from error
        where = f"neither {beside} nor an" if beside else "no"
        raise ScenarioError.at(
            path,
            f"there is {where} installed module `{name}`",
            given=spec,
            expected="a file beside the scenario, or an installed module",
        ) from None
    except Exception as error:
        raise _failed(name, error, spec, path) from error


def _failed(what: Path | str, error: Exception, spec: str, path: Sequence[str | int]) -> ScenarioError:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    line = error.lineno if isinstance(error, SyntaxError) else trace.tb_lineno if trace else None
    at = f" (line {line})" if line and Path(str(what)).suffix else ""
    return ScenarioError.at(path, f"importing {what} failed{at}: {type(error).__name__}: {error}", given=spec)
