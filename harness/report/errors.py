"""Errors of reports."""


class ReportError(Exception):
    """A run directory can't be reported; the message is one line and says what is missing or unreadable."""
