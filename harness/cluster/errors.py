"""Errors of cluster sources. Messages are one line and name what mends it."""


class ClusterError(Exception):
    """The cluster or the machine failed (exit code 3)."""


class NotObservable(Exception):
    """This cluster can't show what the scenario asks; the message says why."""
