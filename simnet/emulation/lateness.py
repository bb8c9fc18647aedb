"""Percentiles of how late something happens, counted without keeping every value."""

_FINE, _COARSE = 1e-6, 1e-4
_BINS = 1000


class Lateness:
    """A histogram of seconds: bins of 1 us below 1 ms, of 100 us below 101 ms, and the rest as one."""

    __slots__ = ("coarse", "count", "fine", "greatest")

    def __init__(self) -> None:
        self.fine = [0] * _BINS
        self.coarse = [0] * (_BINS + 1)
        self.count = 0
        self.greatest = 0.0

    def add(self, seconds: float) -> None:
        """Count one; below zero is zero."""
        self.count += 1
        if seconds < _BINS * _FINE:
            self.fine[int(seconds * 1e6) if seconds > 0 else 0] += 1
        else:
            self.coarse[min(int((seconds - _BINS * _FINE) * 1e4), _BINS)] += 1
        if seconds > self.greatest:
            self.greatest = seconds

    def percentile(self, share: float) -> float | None:
        """The least bound that `share` of the values do not exceed, 0 < share <= 1; None without values.

        Never more than the greatest value; off by a bin's width at most.
        """
        if self.count == 0:
            return None
        wanted, seen = share * self.count, 0
        for bins, width, begin in ((self.fine, _FINE, 0.0), (self.coarse[:-1], _COARSE, _BINS * _FINE)):
            for index, number in enumerate(bins):
                seen += number
                if number and seen >= wanted:
                    return min(begin + (index + 1) * width, self.greatest)
        return self.greatest
