"""`density doctor`: what this machine can and cannot do, and what mends it."""

from __future__ import annotations

from tabulate import tabulate

from harness.cli import errors
from harness.embedded.machine.linux.probe import survey

NEEDED = frozenset({"qemu", "guest-kernel", "cc", "memory", "disk"})
"""Without these nothing runs on `local`; lacking others only makes claims not observable."""


def doctor_command(*, deep: bool) -> int:
    """Print the table; exit 3 if `local` can't run at all."""
    rows = survey(deep=deep)
    table = [(row.name, row.value, row.why, row.mend) for row in rows]
    print(tabulate(table, headers=["capability", "", "why", "mend"], tablefmt="plain"))  # noqa: T201
    return errors.BROKEN if any(row.value == "no" and row.name in NEEDED for row in rows) else errors.OK
