"""Where default inputs come from: a simulation, and a download of the real table."""
