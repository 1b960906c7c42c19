"""SCAN: RESCAN (Li et al., ECCV 2018) with a single stage, so without a recurrent unit."""

from functools import partial

from nasir.networks.baseline import Baseline
from nasir.networks.rescan import Rescan

BASELINES = {"scan": Baseline(task="derain", build=partial(Rescan, unit="conv", stages=1), lr_max=5e-3)}
"""Adam from 5e-3, as its authors' settings."""
