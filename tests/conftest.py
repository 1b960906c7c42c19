"""One thread for every test and the processes that it starts: little tensors gain nothing from more, and busy machines lose."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
