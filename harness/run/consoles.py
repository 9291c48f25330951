"""Reading every guest's console: each member's, and each successor's under the same name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from harness.records.model import Record, Watch
from harness.run.guests import Guests
from harness.run.observers import Observers
from harness.run.world import World


class Consoles:
    """Opens consoles of members, and of the VMIs that follow them. Listen to the stream with `notice`."""

    def __init__(self, observers: Observers, guests: Guests, world: World, *, directory: Path) -> None:
        self._observers = observers
        self._guests = guests
        self._world = world
        self._directory = directory
        self._read: dict[str, list[str]] = {}
        """VMI → UIDs whose consoles were opened, '' for one not known yet."""

    def open(self, vmi: str) -> None:
        """Read the console of a VMI that was just created."""
        self._directory.mkdir(exist_ok=True)
        self._read[vmi] = [self._world.uids.get(vmi, "")]
        self._start(vmi, f"{vmi.rpartition('/')[2]}.log", self._read[vmi][0])

    def notice(self, _line: int, record: Record) -> None:
        """Take a record: a VMI with another UID is a successor, whose console is another one."""
        if not isinstance(record, Watch) or record.object.get("kind") != "VirtualMachineInstance":
            return
        meta: Mapping[str, object] = record.object.get("metadata") or {}
        vmi, uid = f"{meta.get('namespace', '')}/{meta.get('name', '')}", str(meta.get("uid", ""))
        known = self._read.get(vmi)
        if known is None or uid in known or not uid:
            return
        if known == [""]:
            known[0] = uid
            return
        known.append(uid)
        self._start(vmi, f"{vmi.rpartition('/')[2]}-{len(known)}.log", uid)

    def _start(self, vmi: str, name: str, uid: str) -> None:
        known = self._read[vmi]
        index = known.index(uid)

        def ended() -> bool:
            mine = known[index]
            return (bool(mine) and self._world.uids.get(vmi, mine) != mine) or self._world.is_over(vmi)

        self._guests.attach(vmi, self._observers.console(vmi, self._directory / name, ended=ended))
