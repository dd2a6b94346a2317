"""The pipeline package: one subpackage per stage, and the modules that the stages share."""

__version__ = "1.0.0"  # recorded in the tag `version` of every run
