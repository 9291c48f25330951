"""A node's own daemon: a process outside every pod, in the node's cgroup beside kubepods.

Where systemd puts it: `system.slice/<name>.service`. The program is the guest agent talking on its standard input and
output (`agent --stdio`), so that a daemon holds exactly the bytes it is asked to, as guests do.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from harness.embedded.machine.base import Undo
from harness.embedded.machine.errors import MachineError
from harness.embedded.machine.linux import procfs
from harness.embedded.machine.linux.cgroup import Group
from harness.embedded.machine.linux.qemu import Confinement
from harness.embedded.machine.spoken import Spoken

SLICE = "system.slice"
_LINE = 4096
_END = 5.0


class LinuxDaemon(Spoken):
    """One such process."""

    @property
    def ended(self) -> bool:
        """Whether it is gone."""
        return self._process.returncode is not None

    async def lines(self) -> AsyncIterator[str]:
        """Yield what it says until it is gone and reaped. For one reader."""
        async for line in super().lines():
            yield line
        await self._process.wait()

    async def end(self) -> None:
        """Kill it and wait until it is gone. Idempotent. Raises MachineError when it does not go."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        try:
            async with asyncio.timeout(_END):
                await self._process.wait()
        except TimeoutError as error:
            raise MachineError(f"daemon {self.name}: process {self.pid} does not end") from error


async def start(name: str, program: Path, *, parent: Group | None, undo: Undo) -> LinuxDaemon:
    """Start one below a node's group (None: no groups can be written). Raises MachineError, with nothing left running."""
    group = None
    if parent is not None:
        group = parent.child(SLICE).child(f"{name}.service")
        if not group.path.parent.is_dir():
            parent.child(SLICE).make(undo=undo)
        group.make(undo=undo)
    confinement = Confinement(parent=os.getpid(), cgroup=group.path if group is not None else None)
    reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        process = await asyncio.create_subprocess_exec(
            program,
            "--stdio",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
            limit=_LINE,
            preexec_fn=confinement.hook(report=writing),
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise MachineError(f"daemon {name}: {program} can't be started: {error}") from error
    finally:
        os.close(reading)
        os.close(writing)
    who = procfs.identity(process.pid)
    if who is not None:
        undo({"op": "kill", "pid": process.pid, "start": who.start, "name": who.name})
    return LinuxDaemon(name, process)
