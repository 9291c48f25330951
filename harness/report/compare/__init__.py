"""Comparison of runs: which technique buys how much, at what risk, and how sure we are. Pure functions of run directories."""
