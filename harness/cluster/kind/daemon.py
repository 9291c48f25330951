"""A daemon of a kind node's own: the guest agent as a transient service of the node's systemd, in its system.slice.

`systemd-run --pipe` (systemd 236 and later; kind's node images have a newer one) hands it our standard input and output. It
ends when its input does, so that nothing of it outlives us.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

from harness.cluster.errors import ClusterError
from harness.cluster.kind.engine import Engine
from harness.cluster.kind.processes import CallError, streaming
from harness.embedded.machine.spoken import Spoken

PROGRAM = "/var/tmp/density-agent"  # noqa: S108 - in the node; /run and /tmp there are memory
INSTALL = 'cat > "$1.new" && chmod 755 "$1.new" && mv "$1.new" "$1"'
END = 5.0
"""Seconds for it to end once its input has."""


class KindDaemon(Spoken):
    """One such process, by its engine client on this machine, whose `pid` it has. `start` makes it."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, stack: AsyncExitStack) -> None:
        super().__init__(name, process)
        self._stack = stack

    @classmethod
    async def start(cls, name: str, *, node: str, engine: Engine, agent: Path) -> Self:
        """Copy the program into the node and start it there. Raises ClusterError."""
        try:
            content = await asyncio.to_thread(agent.read_bytes)
            await engine.execute(node, "sh", "-c", INSTALL, "sh", PROGRAM, stdin=content)
            stack = AsyncExitStack()
            run = (
                *("systemd-run", "--quiet", "--collect", "--pipe", "--slice=system.slice"),
                *(f"--unit=density-{name}", PROGRAM, "--stdio"),
            )
            call = engine.call(
                "exec", "--interactive", node, *run, seconds=END, name=f"daemon {name} on {node}"
            )
            return cls(name, await stack.enter_async_context(streaming(call)), stack)
        except (CallError, OSError) as error:
            raise ClusterError(f"daemon {name} on node {node}: {error}") from error

    async def end(self) -> None:
        """Close its input and wait until it is gone. Idempotent."""
        await self._stack.aclose()
