"""What tests share."""

import os

# Before torch is imported anywhere: results of tests must not wait for, or depend on, the number of cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
