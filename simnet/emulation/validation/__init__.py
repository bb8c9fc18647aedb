"""How far simulated seconds are from measured ones: the same operations in both, over the same network."""

from simnet.emulation.validation.validate import validate_network
from simnet.results.validation import Comparison, Validation, read_validation

__all__ = ["Comparison", "Validation", "read_validation", "validate_network"]
