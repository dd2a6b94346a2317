"""A process ID that no process has."""

NO_PROCESS = 2**22 + 1  # above the largest process ID of Linux
