"""Reading the text of a file people named, with one clear error for each way that can go wrong."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final

from harness.spec.errors import SpecError, closest
from harness.spec.nodes import Mark

MOST_BYTES: Final = 1 << 20
"""A scenario or manifest of more than 1 MiB is a mistake (an image, a log)."""


def read_text(path: Path, *, shown: str, mark: Mark | None = None) -> str:
    """UTF-8 text of a regular file. Errors point to `mark` (where the file was named), else to the file itself."""
    at = mark or Mark(shown, 1, 1)
    named = f"'{shown}' " if mark is not None else ""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise at.error(f"{named}is a directory, not a file")
        if not stat.S_ISREG(mode):
            raise at.error(f"{named}is not a regular file")
        if path.stat().st_size > MOST_BYTES:
            raise at.error(f"{named}is larger than 1 MiB")
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise at.error(
            f"no such file: '{shown}'" if mark is not None else "no such file",
            suggestion=_sibling(path, shown),
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise at.error(f"{named}cannot be read: {str(reason).lower()}") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        raise SpecError(
            f"not UTF-8: byte 0x{data[error.start]:02x}",
            file=shown,
            line=before.count(b"\n") + 1,
            column=len(before) - (before.rfind(b"\n") + 1) + 1,
        ) from error


def _sibling(path: Path, shown: str) -> str | None:
    try:
        near = closest(path.name, sorted(entry.name for entry in path.parent.iterdir() if entry.is_file()))
    except OSError:
        return None
    return None if near is None else str(Path(shown).with_name(near))
