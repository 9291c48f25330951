"""Driving guests over their consoles (console protocol 1, docs/architecture.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from harness.kube.errors import KubeError
from harness.run.console_lines import AgentLine, command
from harness.run.errors import RunError
from harness.run.stream import Stream
from harness.run.world import World
from harness.spec.model import Amount
from harness.units import Bytes

SEND_DEADLINE = 15.0
"""Seconds to get a command out, reconnects of the console included."""
SILENCE = 120.0
"""Seconds without a word of a guest that tells its state each second: longer than any stall seen under swap."""
MOST_SHARE = 0.9
"""Of MemAvailable at hello: beyond, the guest's own OOM killer ends the agent, which is its init."""
PAGE = 4096
SPARE = 1 << 20
"""Bytes left below that share, for what a guest uses between its hello and the command."""


class Wire(Protocol):
    """A way to write to a guest: `kube.console.Console`."""

    async def send(self, data: bytes) -> None:
        """Send bytes. Raises KubeError."""
        ...


class GuestError(RunError):
    """A guest refused a command."""


class Guests:
    """All guests of a run."""

    def __init__(self, stream: Stream, world: World) -> None:
        self._stream = stream
        self._world = world
        self._wires: dict[str, Wire] = {}
        self._numbers: dict[str, int] = {}

    def attach(self, vmi: str, wire: Wire) -> None:
        """Say how to reach a guest."""
        self._wires[vmi] = wire

    async def send(self, vmi: str, verb: str, **arguments: object) -> int | None:
        """Record and send a command; return its number, None if the guest is dead or can't be reached any more."""
        if self._world.is_dead(vmi):
            return None
        number = self._numbers.get(vmi, 0) + 1
        self._numbers[vmi] = number
        line = command(number, verb, **arguments)
        self._stream.action("command", vmi, line=line)
        try:
            async with asyncio.timeout(SEND_DEADLINE):
                while True:
                    try:
                        await self._wires[vmi].send(line.encode() + b"\n")
                    except KubeError as error:
                        if self._world.is_dead(vmi):
                            return None
                        # A session broke between two lines; commands name absolute amounts, so twice is once.
                        self._stream.note("reconnect", f"command to {vmi} sent again: {error}", vmi=vmi)
                        await asyncio.sleep(0.1)
                    else:
                        return number
        except TimeoutError:
            self._stream.note("lost-command", f"{vmi} could not be reached: {line}", vmi=vmi)
            return None

    async def finished(self, vmi: str, number: int, *, held: Bytes | None = None) -> AgentLine | None:
        """Wait for the answer to a command; None when the guest died first.

        `held`: having that much counts as the answer too, in case the answer itself was lost with a session.
        Raises GuestError when the guest refused, or is not heard of any more.
        """
        view = self._world.guests[vmi]

        def answered() -> AgentLine | bool:
            reply = view.replies.get(number)
            if reply is not None:
                return reply
            if self._world.is_dead(vmi) or (held is not None and view.held == held):
                return True
            if view.told is not None and self._stream.now - view.told > SILENCE:
                raise GuestError(
                    f"{vmi}: not a word on its console for {SILENCE:g} s: it is closed, or the guest hangs"
                )
            return False

        answer = await self._stream.until(answered)
        if isinstance(answer, AgentLine):
            if answer.word == "err":
                raise GuestError(f"{vmi}: {answer.fields.get('msg', 'refused a command')}")
            return answer
        return None

    async def do(self, vmi: str, verb: str, *, held: Bytes | None = None, **arguments: object) -> None:
        """Send a command and wait for its end or the guest's. Raises GuestError when it can't be driven any more."""
        number = await self.send(vmi, verb, **arguments)
        if number is not None:
            await self.finished(vmi, number, held=held)
        elif not self._world.is_dead(vmi):
            raise GuestError(
                f"{vmi}: its console is closed and did not open again within {SEND_DEADLINE:g} s: "
                "does virt-api run, has somebody else opened it?"
            )

    def bytes_of(self, vmi: str, amount: Amount) -> Bytes:
        """Resolve an amount: bytes, or a share of the guest's MemAvailable at `hello`, in whole pages."""
        if amount.bytes is not None:
            return amount.bytes
        available = self._world.guests[vmi].mem_available
        if available is None:
            raise GuestError(f"{vmi}: a percentage needs the MemAvailable of its hello, which was not seen")
        # The agent refuses more than that share of what is available when the command comes; hellos differ by some 100 KiB.
        most = int(available * MOST_SHARE) - SPARE
        return Bytes(max(0, min(int(available * (amount.share or 0.0)), most)) // PAGE * PAGE)

    def most(self, vmi: str) -> Bytes:
        """What a guest may be asked to hold at most."""
        return self.bytes_of(vmi, Amount(share=MOST_SHARE))

    def held(self, vmis: tuple[str, ...]) -> Mapping[str, Bytes]:
        """What each guest last said it holds."""
        return {vmi: self._world.guests[vmi].held for vmi in vmis if vmi in self._world.guests}
