"""What goes wrong with results: one exception whose message is meant for the person at the terminal."""

from __future__ import annotations


class ResultsError(Exception):
    """A run folder cannot be written or read.

    The message names the folder, what is wrong with it and, where there is one, the way out. Nothing is
    left half written when it is raised by a writing function.
    """
