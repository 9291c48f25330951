"""virt-launcher in a pod's compute container, as far as the kubelet and virt-handler see it.

There is no such process here: its part (passing SIGTERM on, ending after its domain) is played on the machine's
QEMU. Source: KubeVirt cmd/virt-launcher, cmd/virt-launcher-monitor (main). Times are loop times.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal

from harness.embedded.kubelet.oom import Toll, toll
from harness.embedded.machine.base import Guest, GuestExit
from harness.embedded.signal import Signal

DomainEnd = Literal["shutdown", "crashed", "destroyed"]

PANIC = b"Kernel panic"


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherExit:
    """How the compute container's first process ended."""

    code: int
    reason: Literal["Completed", "Error", "OOMKilled"]
    killed: bool
    """By SIGKILL or the OOM killer: nobody answers on its socket, and nobody said what became of the domain."""


class Launcher:
    """One virt-launcher. `changed` is notified whenever something here changes."""

    def __init__(self, changed: Signal, *, group_kill: bool) -> None:
        self.changed = changed
        self.term_requested = False
        self.guest: Guest | None = None
        self.guest_exit: GuestExit | None = None
        self.destroyed = False
        self.exit: LauncherExit | None = None
        self._group_kill = group_kill
        self._oom_killed = False

    @property
    def domain_ended(self) -> bool:
        """Whether the domain was there and is gone."""
        return self.guest_exit is not None

    @property
    def lost(self) -> bool:
        """Whether it was killed, and so can't tell what became of the domain."""
        return self.exit is not None and self.exit.killed

    def term(self) -> None:
        """SIGTERM: mark a graceful shutdown for virt-handler; nothing else happens by itself."""
        self.term_requested = True
        self.changed.notify()

    async def watch(self, guest: Guest) -> GuestExit:
        """Stay with the domain until it ends; an OOM kill of the whole container takes the launcher along."""
        self.guest = guest
        self.changed.notify()
        ended = await guest.wait()
        if ended.oom is not None:
            self._oom_killed = True
            if toll(group_kill=self._group_kill) is Toll.CONTAINER and self.exit is None:
                self.exit = LauncherExit(code=137, reason="OOMKilled", killed=True)
        self.guest_exit = ended
        self.changed.notify()
        return ended

    def end(self, *, code: int = 0) -> None:
        """Exit by itself. After an OOM kill of QEMU the runtime says OOMKilled even of exit code 0 (seen)."""
        if self.exit is None:
            reason: Literal["Completed", "Error", "OOMKilled"] = "Completed" if code == 0 else "Error"
            if self._oom_killed:
                reason = "OOMKilled"
            self.exit = LauncherExit(code=code, reason=reason, killed=False)
            self.changed.notify()

    async def kill(self) -> None:
        """SIGKILL to the container: launcher and QEMU. Returns once QEMU is gone."""
        if self.exit is None:
            self.exit = LauncherExit(code=137, reason="Error", killed=True)
            self.changed.notify()
        if self.guest is not None:
            self.guest.kill()
            await asyncio.shield(self.guest.wait())


def domain_end(ended: GuestExit, *, console: bytes, destroyed: bool) -> DomainEnd:
    """Tell how the domain ended.

    A panicked guest leaves QEMU exit 0 (`panic=-1`, `-no-reboot`), so the console decides: facts of a guest whose
    init was OOM-killed.
    """
    if destroyed:
        return "destroyed"
    if ended.oom is not None or ended.signal is not None or ended.code != 0 or PANIC in console:
        return "crashed"
    return "shutdown"
