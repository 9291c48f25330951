"""Running the few programs the builder needs: argument lists, a time limit, output kept for the error."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path


class CommandError(Exception):
    """A program is not there, failed, or took too long. The message is one line of its complaint, `stderr` all of it."""

    def __init__(self, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr


def run(arguments: Sequence[str], *, cwd: Path | None = None, timeout: float = 120.0) -> str:
    """Run to the end and return standard output. `timeout` in seconds.

    Raises:
        CommandError: see the class.
    """
    try:
        done = subprocess.run(
            list(arguments),
            cwd=cwd,
            timeout=timeout,
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "LC_ALL": "C"},
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise CommandError(f"{arguments[0]}: not found") from error
    except OSError as error:
        raise CommandError(f"{arguments[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(f"{arguments[0]}: no end after {timeout:.0f} s") from error
    if done.returncode != 0:
        raise CommandError(f"{arguments[0]}: {_complaint(done.stderr, done.returncode)}", done.stderr)
    return done.stdout


def _complaint(stderr: str, code: int) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith("W:")]
    errors = [line for line in lines if re.search(r"error:|^E:|cannot find", line)]
    return (errors or lines[-1:] or [f"exit {code}"])[0]
