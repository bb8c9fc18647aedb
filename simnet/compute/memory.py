"""What one joint computation may take, and settings of glibc's allocator and Python's collector."""

import ctypes
import functools
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

GROUP_BYTES = {"cpu": 256 * 2**20, "cuda": 8 * 2**30}
"""Memory that one joint computation may take on a device, unless the scenario says otherwise. Constants: a
split that followed free memory would change rounding from run to run."""

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD in glibc's malloc.h
_LARGEST_MMAP_THRESHOLD = 32 * 2**20  # the most that glibc takes
_KEPT = 512 * 2**20


def return_freed_memory(bytes_to_come: float) -> None:
    """Hand freed memory back to the system, before work that makes so many bytes of results.

    Large results of many workers lie between blocks that are free again, which glibc keeps unless asked. It
    takes a while, so it is done before large work only.
    """
    if bytes_to_come > _KEPT and keep_freed_memory():
        ctypes.CDLL(None).malloc_trim(0)


@functools.cache
def keep_freed_memory() -> bool:
    """Let the process keep up to half a GiB of freed memory, instead of handing it back at each `free`.

    A training step makes and drops the same large tensors again and again. By default glibc maps each one
    anew, and the kernel zeroes its pages again: as much time as the arithmetic of a small model. This is
    global to the process, changes no result, and does nothing where the C library is not glibc; whether it
    did is returned.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    mmap_set = mallopt(_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
    return bool(mmap_set and mallopt(_TRIM_THRESHOLD, _KEPT))


@contextmanager
def rare_collections() -> Iterator[None]:
    """Look for garbage in cycles less often: with millions of live events each look takes long.

    Where nothing is computed such garbage holds no tensors, so it may wait.
    """
    before = gc.get_threshold()
    gc.set_threshold(500_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
