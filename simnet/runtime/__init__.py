"""The runtime: `Node`, what an algorithm sees; the collectives; the simulated clock."""
