"""Emulation: hosts that are real network namespaces, joined by links as a scenario says, in real time.

Below the worker processes lies a :class:`~simnet.emulation.driver.Driver`: `fabric` (one process that carries
every packet over the simulator's own graph) or `mininet` (the kernel's queues).
`simnet.emulation.doctor` says what this machine can do, `simnet.emulation.fidelity` whether what was measured
may be believed, and `simnet.emulation.sweeping` removes what an emulation left behind.

Nothing is imported here: the fabric and the guard are processes that have to start quickly.
"""
