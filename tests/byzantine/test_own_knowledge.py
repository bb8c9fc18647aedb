"""An attack that says what it knows keeps to it, whatever else its node could see."""

import pytest
import torch
from test_wrapped_nodes import told


@pytest.mark.parametrize(("knowledge", "flipped"), [("own", 1.0), ("all", 3.0)])
def test_whose_sign_is_flipped(attacked, knowledge, flipped):
    """n0 gives 1; the mean of the honest, who give 2, 3 and 4, is 3."""
    attack = {"name": "sign-flip", "scale": 2.0, "knowledge": knowledge}
    _, kept = told(attacked, {"attack": attack, "knowledge": "all", "nodes": ["n0"]})
    assert torch.equal(kept["n2", 0][1][0], torch.full((3,), -2.0 * flipped))
