"""What goes wrong: stragglers, churn, broken links, Byzantine attacks."""

from simnet.faults.faults import NO_FAULTS, Faults, build_faults

__all__ = ["NO_FAULTS", "Faults", "build_faults"]
