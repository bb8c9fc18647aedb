"""Files of small scenarios for batches."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_batches import METHOD

MakeFile = Callable[..., Path]


@pytest.fixture
def scenario_file(small: Callable[..., dict[str, Any]], tmp_path: Path) -> MakeFile:
    """Writes a small scenario with dotted keys changed, `mine.py` beside it."""

    def make(changes: dict[str, Any] | None = None, sweep: dict[str, Any] | None = None, **top: Any) -> Path:
        mapping = small(changes) | copy.deepcopy(top) | ({"sweep": sweep} if sweep else {})
        (tmp_path / "mine.py").write_text(METHOD.replace("\\\\n", "\\n"))
        file = tmp_path / f"{mapping['name']}.yaml"
        file.write_text(yaml.safe_dump(mapping, sort_keys=False))
        return file

    return make
