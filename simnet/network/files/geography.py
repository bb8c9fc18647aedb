"""Distances on the globe."""

from math import asin, cos, radians, sin, sqrt

EARTH_KM = 6371.0088
"""The Earth's mean radius (IUGG)."""


def great_circle_km(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Kilometres between two places, each (longitude, latitude) in degrees, by the haversine formula."""
    (east_a, north_a), (east_b, north_b) = a, b
    half = sin(radians(north_b - north_a) / 2) ** 2
    half += cos(radians(north_a)) * cos(radians(north_b)) * sin(radians(east_b - east_a) / 2) ** 2
    return 2 * EARTH_KM * asin(min(1.0, sqrt(half)))
