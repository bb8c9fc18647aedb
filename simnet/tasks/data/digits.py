"""The handwritten digits that come with scikit-learn."""

import numpy as np

from simnet.tasks.data.samples import Samples, make_samples
from simnet.tasks.entry import Options, Origin

HELD_OUT = 360


class DigitsOptions(Options):
    """Options of `digits`: none."""


def build_digits(options: DigitsOptions, origin: Origin) -> Samples:
    """1437 training and 360 held-out images of 1 x 8 x 8, from 0 to 1, in ten classes.

    The split is stratified and always the same, whatever the seed. Source: Alpaydin and Kaynak, Optical
    Recognition of Handwritten Digits, UCI (1998).
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    images = (pixels / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    inputs, held_inputs, targets, held_targets = train_test_split(
        images, labels, test_size=HELD_OUT, stratify=labels, random_state=0
    )
    return make_samples((inputs, targets), (held_inputs, held_targets), 0.8, origin, "digits")
