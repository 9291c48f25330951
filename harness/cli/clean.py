"""`density clean`: undo what dead runs left."""

from __future__ import annotations

import harness.run.undo_kind  # noqa: F401 - registers how kind clusters are undone
from harness.cli import errors
from harness.run.undo import clean


def clean_command() -> int:
    """Print what was undone; exit 3 if something could not be."""
    cleaned = clean()
    for file in cleaned:
        print(f"{file.path.name} (run {file.run or 'unknown'}): {file.state}")  # noqa: T201 - the command's output
        for done in file.done:
            if done.did or done.failed:
                print(f"  {done}")  # noqa: T201
    if not cleaned:
        print("nothing to clean")  # noqa: T201
    return errors.BROKEN if any(file.state in {"failed", "unreadable"} for file in cleaned) else errors.OK
