"""Sphinx's configuration. Build with `make docs`; warnings are errors."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.ext.napoleon import Config, GoogleDocstring

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "simnet"
author = "The simnet developers"
copyright = "2026, the simnet developers"
version = release = installed_version("simnet")

extensions = ["myst_parser", "sphinx.ext.autodoc", "reference"]
exclude_patterns = ["_build", "_ext"]
default_role = "code"  # docstrings write `code` with single backticks
nitpicky = False

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 4

autodoc_default_options = {
    "members": True,
    "member-order": "bysource",
    "exclude-members": "model_config, model_post_init, read_from, summary",
}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True

html_theme = "furo"
html_title = f"simnet {release}"
html_show_sourcelink = False


def _sections(app: Sphinx, what: str, name: str, found: Any, options: Any, lines: list[str]) -> None:
    if what not in ("attribute", "property"):
        lines[:] = GoogleDocstring(lines, Config(), app, what, name, found, options).lines()


def setup(app: Sphinx) -> None:
    """Read Args, Returns and Raises in docstrings.

    The napoleon extension would do it everywhere, also in attributes, where it takes what stands before the
    first colon for a type.
    """
    app.connect("autodoc-process-docstring", _sections)
