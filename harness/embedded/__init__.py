"""Behind `local` and `model`: API server, control plane, kubelet and machine of our own.

Imports `rules` only. What it serves carries the marker annotation, so it can never pass for a real cluster.
"""
