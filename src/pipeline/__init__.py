"""The pipeline package: one subpackage per stage, and the modules that the stages share."""

import os

__version__ = "1.0.0"  # recorded in the tag `version` of every run

# How long an OpenMP thread spins before it sleeps while it waits for the others. XGBoost and scikit-learn bring
# libgomp, which reads this when they are imported and otherwise spins for milliseconds: beside a busy program a fit
# then takes many times its share of the processors. Subprocesses inherit it.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
