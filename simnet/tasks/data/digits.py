"""The handwritten digits that come with scikit-learn."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simnet.tasks.data.samples import Samples, make_samples
from simnet.tasks.entry import Options, Origin

HELD_OUT = 360


class DigitsOptions(Options):
    """Options of `digits`: none."""


def build_digits(options: DigitsOptions, origin: Origin) -> Samples:
    """1437 training and 360 held-out images of 1 x 8 x 8, from 0 to 1, in ten classes.

    The split is stratified and always the same, whatever the seed. Source: Alpaydin and Kaynak, Optical
    Recognition of Handwritten Digits, UCI (1998), CC BY 4.0; read from the installed scikit-learn.
    """
    pixels, labels = _digits()
    # Drawn once, by sklearn.model_selection.train_test_split(stratify=labels, test_size=360, random_state=0).
    order = np.load(Path(__file__).with_name("digits_order.npy")).astype(np.int64)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    training, held_out = order[:-HELD_OUT], order[-HELD_OUT:]
    return make_samples(
        (images[training], labels[training]), (images[held_out], labels[held_out]), 0.8, origin, "digits"
    )


def _digits() -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixels `[1797, 64]` from 0 to 16, and labels."""
    package = find_spec("sklearn")
    for folder in (package.submodule_search_locations or ()) if package else ():
        file = Path(folder, "datasets", "data", "digits.csv.gz")
        if file.is_file():  # the import of scikit-learn would take a second
            table = np.loadtxt(file, delimiter=",", dtype=np.int64)
            return table[:, :-1].astype(np.float64), table[:, -1]
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    return pixels, labels
