"""Manifests of older schemas: what changed from each to the next.

A run folder says the version of its schema in its manifest and in each table. simnet reads every version
from the first on; it writes the newest one alone. What tables lack is in ``parquet.ADDED_TABLES`` and
``parquet.ADDED_COLUMNS``.

=======  =====================================================================================================
version  what came with it
=======  =====================================================================================================
1        metrics, transfers, spans
2        ``links``; of transfers ``mean_rate``, ``bound_by`` and ``bound``; later of the manifest
         ``engine_settings``
3        of the manifest ``scenario`` (the resolved scenario as data) and ``prices``
=======  =====================================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from simnet.results.errors import ResultsError
from simnet.results.parquet import SCHEMA_VERSION

Fields = Mapping[str, Any]


def _to_2(fields: Fields) -> Fields:
    return fields


def _to_3(fields: Fields) -> Fields:
    """The first folders of version 2 have no engine settings: how torch computed was not written down."""
    return {"engine_settings": {}, **fields, "scenario": {}, "prices": {}}


MIGRATIONS: dict[int, Callable[[Fields], Fields]] = {1: _to_2, 2: _to_3}
"""From a version to the next: the fields of a manifest."""


def migrated(fields: Fields) -> dict[str, Any]:
    """The fields of a manifest of any known version as those of the newest.

    Raises:
        ResultsError: The version is missing, or newer than this simnet.
    """
    version = fields.get("schema", "missing")
    whole = isinstance(version, int) and not isinstance(version, bool)
    if not whole or not 1 <= version <= SCHEMA_VERSION:
        raise ResultsError(
            f"its schema is {version!r}; this simnet reads 1 to {SCHEMA_VERSION}"
            + (": a newer simnet wrote it" if whole and version > SCHEMA_VERSION else "")
        )
    for older in range(version, SCHEMA_VERSION):
        fields = MIGRATIONS[older](fields)
    return {**fields, "schema": SCHEMA_VERSION}
