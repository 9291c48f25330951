"""From an exception to an exit code and one line."""

from __future__ import annotations

import errno

import typer

from harness.cluster.errors import ClusterError, NotObservable
from harness.embedded.machine.errors import MachineError
from harness.kube.errors import KubeError
from harness.records.errors import (
    BadProvenance,
    BadRecording,
    NewerSchema,
    NotARunDirectory,
    RecordsError,
    WriteFailed,
)
from harness.report.errors import ReportError
from harness.run.errors import RunError
from harness.run.interrupt import Interrupted
from harness.spec.errors import SpecError

OK, NOT_SEEN, USAGE, BROKEN, INTERRUPTED = 0, 1, 2, 3, 130
"""Exit codes."""


class UsageError(Exception):
    """The command line asks for what is not there."""


def explain(error: BaseException) -> tuple[int, str]:
    """Return exit code and message of an error that ended a command."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    match error:
        case typer.Exit():
            return error.exit_code, ""
        case typer.Abort():
            return INTERRUPTED, ""
        case _ if hasattr(error, "format_message"):  # typer's usage errors; their module is not public
            message = str(error.format_message())
            return USAGE, message[:1].lower() + message[1:]
        case SpecError() | UsageError() | ReportError():
            return USAGE, str(error)
        case (
            NotARunDirectory() | BadProvenance() | NewerSchema() | BadRecording()
        ):  # what was named can't be used
            return USAGE, " ".join(str(error).split())
        case Interrupted():
            return INTERRUPTED, str(error)
        case (
            ClusterError()
            | MachineError()
            | KubeError()
            | RecordsError()
            | RunError()
            | NotObservable()
            | OSError()
        ):
            return BROKEN, (" ".join(str(error).split()) or type(error).__name__) + _mend(error)
        case _:
            return BROKEN, f"internal error: {type(error).__name__}: {error} (--debug shows where)"


def printable(text: object) -> str:
    """Text (or a path) for a terminal: no control characters but the ends of lines, whoever chose the name."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in str(text))


def _mend(error: BaseException) -> str:
    if "free some" in str(error):  # who raised it knows which disk
        return ""
    seen: BaseException | None = error
    denied = ""
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno == errno.ENOSPC:
            return ": free some disk space, or choose another place with --runs-dir"
        if isinstance(seen, WriteFailed):
            denied = ": choose another place with --runs-dir"
        seen = seen.__cause__
    return denied
