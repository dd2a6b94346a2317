"""What the stage scripts are made of: one folder a stage, and the modules they share."""
