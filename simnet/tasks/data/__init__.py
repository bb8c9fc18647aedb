"""Datasets: labelled samples and text, embedded in Python's own packages, from local files, or from a hub."""
