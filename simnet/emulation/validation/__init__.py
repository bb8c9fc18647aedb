"""How far simulated seconds are from measured ones: the same operations in both, over the same network."""

from simnet.emulation.validation.comparison import Comparison, Validation, read_validation
from simnet.emulation.validation.validate import validate_network

__all__ = ["Comparison", "Validation", "read_validation", "validate_network"]
