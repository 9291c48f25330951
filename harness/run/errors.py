"""Errors of running a scenario. Messages are one line and name what mends it."""


class RunError(Exception):
    """A run can't be started or can't go on."""


class UndoError(RunError):
    """An undo entry can't be written or undone; the change it stands for must not be made."""
