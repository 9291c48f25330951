"""What was seen: record types, the run directory, reading it and appending to it so that a crash loses little.

Imports nothing of ours. Nothing here interprets a record: that is `judge` and `explain`.
"""
