"""What people write: scenarios, claims, fleets, workloads, and the loader that names file, line and column.

Pure: no input or output beyond reading the named files. Imports `rules` for quantities only.
Nothing here knows how a scenario is run or judged.
"""
