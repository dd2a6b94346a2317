"""What the stage scripts are made of: one folder a stage, and the modules they share."""

__version__ = "1.0.0"  # the tag `version` of every run
