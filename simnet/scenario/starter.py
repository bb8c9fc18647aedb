"""The scenario that `simnet init` writes."""

from importlib.resources import files


def starter_text() -> str:
    """A commented scenario to start from, which validates as it is."""
    return files("simnet.scenario").joinpath("starter.yaml").read_text(encoding="utf-8")
