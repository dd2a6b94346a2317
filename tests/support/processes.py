"""Processes that are not there."""

NO_PROCESS = 2**22 + 1  # Linux gives no number as large as this
