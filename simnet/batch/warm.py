"""Imported once, by the process that all workers are forked from: what every run needs.

Nothing here may start a thread, and nothing may touch a GPU: neither survives a fork.
"""

import gc

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

import simnet.experiment
import simnet.network.compiled
import simnet.network.compiled_flows

WARM = (pd, pa, pyarrow.parquet, simnet.experiment, simnet.network.compiled, simnet.network.compiled_flows)

gc.collect()
gc.freeze()  # what is here now is never garbage; looking at it would copy its pages in every process
