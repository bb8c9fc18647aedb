"""Which implementation of `Flows` a network computes its rates with, and when it changes over.

There are two that do the same, to rounding errors: `PythonFlows`, and `CompiledFlows` on arrays, with numba.
Loading the compiled one costs about half a second (and some ten seconds once on a machine, to compile it),
so a network begins in Python and goes on compiled when that pays. When it does depends on nothing but the
flows, so a simulation comes out the same each time.
"""

import os
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, get_args

from simnet.network.flows import PythonFlows

if TYPE_CHECKING:
    from simnet.network.compiled_flows import CompiledFlows

Backend = Literal["auto", "python", "numba"]
"""auto: Python, then numba once it pays and if it is installed; or always the one that is named."""
BACKEND_VARIABLE = "SIMNET_NETWORK_BACKEND"
"""The environment variable that names the backend where the caller does not."""
MANY = 64
"""With so many messages under way, Python is slow enough to change over early: after `EARLY` rates."""
EARLY = 20_000
LATE = 250_000
"""After so many rates, about a second's work for Python, a network changes over in any case."""


def chosen_backend(backend: Backend | None = None) -> Backend:
    """The backend that is named, here or by the environment; `auto` is `python` without numba.

    Raises:
        ValueError: The environment names none that there is.
    """
    chosen = backend or os.environ.get(BACKEND_VARIABLE, "auto")
    if chosen == "auto" and find_spec("numba") is None:
        return "python"
    for known in get_args(Backend):
        if chosen == known:
            return known
    raise ValueError(f"{BACKEND_VARIABLE} is one of {', '.join(get_args(Backend))}, not {chosen}")


def is_time_to_compile(backend: Backend, rates: int, under_way: int) -> bool:
    """Whether to change over, after so many rates have been computed, with so many messages under way."""
    if backend == "auto":
        return rates > (EARLY if under_way >= MANY else LATE)
    return backend == "numba"


def compile_flows(flows: PythonFlows) -> "CompiledFlows":
    """Go on compiled; a solve is due after it."""
    from simnet.network.compiled_flows import CompiledFlows

    return CompiledFlows.resume(flows.snapshot())
