"""Ratios against baselines measured in the same run; never absolute times in a test."""
