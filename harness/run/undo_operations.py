"""How what was changed is undone: an entry names an operation, modules register theirs, and here they are carried out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.embedded.machine.errors import MachineError
from harness.run.errors import UndoError

Entry = Mapping[str, Any]
Operation = Callable[[Entry], str | None]
"""Undoes one entry. Returns what it did, None if nothing was left to do; raises UndoError or OSError if it can't."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """One entry after undoing: `did` says what was done, '' if nothing was left to do; `failed` why it could not be."""

    op: str
    target: str
    did: str = ""
    failed: str = ""

    def __str__(self) -> str:
        return f"{self.op} {self.target}: {self.failed or self.did or 'nothing left to do'}"


@dataclass(frozen=True, slots=True)
class _Rule:
    undo: Operation
    survives_reboot: bool
    """Whether what the entry changed is still there after a reboot (files are; processes and cgroups are not)."""


_RULES: dict[str, _Rule] = {}


def operation(name: str, *, survives_reboot: bool) -> Callable[[Operation], Operation]:
    """Register how entries with `op: name` are undone. Raises ValueError for a name already taken."""

    def register(function: Operation) -> Operation:
        if name in _RULES:
            raise ValueError(f"undo operation {name!r} is registered already")
        _RULES[name] = _Rule(function, survives_reboot)
        return function

    return register


def known() -> tuple[str, ...]:
    """Return the names of all that are registered."""
    return tuple(sorted(_RULES))


def undo_all(entries: Sequence[Entry], *, same_boot: bool) -> tuple[Done, ...]:
    """Undo entries, last first. One that fails does not keep the others from being undone."""
    done: list[Done] = []
    for entry in reversed(entries):
        op = str(entry.get("op", ""))
        target = str(entry.get("path", entry.get("pid", entry.get("target", ""))))
        rule = _RULES.get(op)
        if rule is None:
            done.append(Done(op=op, target=target, failed="unknown operation: use the version that wrote it"))
            continue
        if not same_boot and not (rule.survives_reboot and not target.startswith(("/proc/", "/sys/"))):
            continue
        try:
            did = rule.undo(entry)
        except (UndoError, MachineError, OSError, KeyError, ValueError) as error:
            done.append(Done(op=op, target=target, failed=f"{type(error).__name__}: {error}"))
        else:
            done.append(Done(op=op, target=target, did=did or ""))
    return tuple(done)
