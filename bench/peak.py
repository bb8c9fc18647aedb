"""The memory of a benchmark's own process."""

from pathlib import Path


def peak_bytes() -> float:
    """The most memory that this process ever held; `ru_maxrss` would have that of the one that started it."""
    status = Path("/proc/self/status").read_text().splitlines()
    return 1024.0 * next(float(line.split()[1]) for line in status if line.startswith("VmHWM"))
