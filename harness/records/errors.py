"""What can go wrong with run directories and records, each with one clear line for people."""

from __future__ import annotations


class RecordsError(Exception):
    """Base of this room's errors."""


class NotARunDirectory(RecordsError):
    """The path holds no `run.json`."""


class RunDirectoryExists(RecordsError):
    """A run directory of that name is there already, or its records were already begun."""


class BadProvenance(RecordsError):
    """`run.json` is not readable as provenance."""


class NewerSchema(RecordsError):
    """Written by a newer major version of the schema than this program reads."""


class BadServedValue(RecordsError):
    """A time or quantity in a served object does not read as one."""


class WriteFailed(RecordsError):
    """The records could not be written (disk full, permissions): the file ends with the last whole record."""


class BadRecording(RecordsError):
    """A file that was to be imported holds no records."""
