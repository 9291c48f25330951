"""One scenario on one cluster: orchestrator, guests, recorder, undo.

Acts only through the Kubernetes API and the cluster source; writes records and never judges.
"""
