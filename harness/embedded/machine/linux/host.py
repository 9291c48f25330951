"""What belongs to no node: host-wide settings, one harness at a time, and what the machine says of itself."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.embedded.machine.base import Undo
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import hostlock, ksm, pressure, procfs, swap, syscalls
from harness.embedded.machine.linux.hostlock import HostLock
from harness.embedded.machine.linux.ksm import Ksm
from harness.embedded.machine.linux.swap import SwapArea, SwapSettings

_LOG = logging.getLogger(__name__)
_MEMINFO = ("MemTotal", "MemFree", "MemAvailable", "SwapTotal", "SwapFree", "SwapCached", "AnonHugePages")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """Settings of the whole machine a scenario asks for. `ksm`: knob → value as in /sys/kernel/mm/ksm."""

    ksm: Mapping[str, int | str] = field(default_factory=dict)
    swap: SwapSettings | None = None


class HostKnobs:
    """Takes and gives back host-wide settings under `root`. Nothing is touched, or locked, before `apply`."""

    def __init__(
        self, *, undo: Undo, run: str, root: Path = Path("/"), activate: swap.Activate = syscalls.swapon
    ) -> None:
        self.area: SwapArea | None = None
        self._undo = undo
        self._run = run
        self._root = root
        self._activate = activate
        self._ksm = Ksm(root=root)
        self._lock: HostLock | None = None
        self._entries: list[Mapping[str, Any]] = []
        self._busy = threading.RLock()
        """Whoever tunes KSM may be cancelled while a thread is still at it."""

    def apply(self, settings: HostSettings) -> None:
        """Make the machine so; may be called again for other KSM knobs. Raises HostBusy, HostLack, MachineError.

        What it did before it failed is given back. All of KSM's knobs are in the undo file since the first time.
        """
        if not settings.ksm and settings.swap is None:
            return
        with self._busy:
            self._apply(settings)

    def _apply(self, settings: HostSettings) -> None:
        if settings.swap is not None and self.area is not None:
            raise MachineError("this run has a swap area already")
        if self._lock is None:
            self._lock = HostLock.take(run=self._run, undo=self._undo, root=self._root)
        try:
            if settings.swap is not None:
                self.area = swap.start(
                    settings.swap, undo=self._note, lock=self._lock, root=self._root, activate=self._activate
                )
            if settings.ksm:
                self._ksm.apply(settings.ksm, undo=self._note_once, lock=self._lock)
        except BaseException:
            self.give_back()
            raise

    def _note(self, entry: Mapping[str, Any]) -> None:
        self._undo(entry)
        self._entries.append(entry)

    def _note_once(self, entry: Mapping[str, Any]) -> None:
        """Note the knobs before the first change; what they are later is our own doing."""
        if all(known["op"] != entry["op"] for known in self._entries):
            self._note(entry)

    def give_back(self) -> tuple[str, ...]:
        """Restore everything, last first, and let the next harness in. Returns what failed. Idempotent.

        With something not restored the lock's record stays, so that nobody takes the changed values for the original ones.
        """
        with self._busy:
            return self._give_back()

    def _give_back(self) -> tuple[str, ...]:
        if self._lock is None:
            return ()
        failed = []
        for entry in reversed(self._entries):
            try:
                undo_entry(entry)
            except (OSError, ValueError, MachineError) as error:
                failed.append(f"{entry['op']} {entry['path']}: {error}")
                _LOG.error("not given back: %s; `density clean` tries again", failed[-1])
        self._entries.clear()
        self.area = None
        self._lock.release(everything_given_back=not failed)
        self._lock = None
        return tuple(failed)

    def samples(self) -> dict[str, dict[str, Any]]:
        """Return what the machine says now, by the `source` of a sample: meminfo, ksm, swap, psi, vmstat. 1 ms."""
        return host_samples(self._ksm, root=self._root)


def host_samples(of: Ksm, *, root: Path = Path("/")) -> dict[str, dict[str, Any]]:
    """Read everything host-wide; what this kernel does not have is left out."""
    found: dict[str, dict[str, Any]] = {}
    try:
        meminfo = procfs.meminfo(proc=root / "proc")
    except OSError:
        meminfo = {}
    found["meminfo"] = {name: int(meminfo[name]) for name in _MEMINFO if name in meminfo}
    counted = of.counters()
    if counted:
        settings = {name: int(text) for name, text in of.settings().items() if text.isdigit()}
        cpu = of.ksmd_cpu()
        found["ksm"] = {**settings, **counted, **({"ksmdCpu": cpu} if cpu is not None else {})}
    swapped = swap.counters(root=root)
    if swapped.get("total"):
        found["swap"] = dict(swapped)
    found["psi"] = dict(pressure.host_psi(root=root))
    found["vmstat"] = dict(pressure.host_vmstat(root=root))
    return {source: data for source, data in found.items() if data}


def undo_entry(entry: Mapping[str, Any]) -> str | None:
    """Undo a `swapoff`, `ksm`, `zram` or our `unlink` entry, unless it has been given back."""
    return hostlock.undo(entry, _UNDO[entry["op"]])


def _swap_off(entry: Mapping[str, Any]) -> str | None:
    """Take an area out of use, if it is in use. May take long, or fail, with little memory free."""
    path = str(entry["path"])
    if all(area.path != path for area in swap.areas()):
        return None
    syscalls.swapoff(path)
    return "swapped off"


def _unlink(entry: Mapping[str, Any]) -> str | None:
    Path(entry["path"]).unlink(missing_ok=True)
    return "removed"


_UNDO: Mapping[str, Callable[[Mapping[str, Any]], str | None]] = {
    "swapoff": _swap_off,
    "unlink": _unlink,
    "ksm": ksm.give_back,
    "zram": swap.reset_zram,
}
