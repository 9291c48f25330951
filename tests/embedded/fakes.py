"""A machine in memory: guests whose resident bytes a test sets, that listen to the power button or are deaf to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from harness.embedded.machine.base import (
    Accounting,
    Console,
    GuestExit,
    GuestShape,
    Memory,
    OomKill,
    PodShape,
)
from harness.embedded.machine.errors import ConsoleClosed, MachineError
from harness.units import Bytes, Seconds


class FakeConsole:
    """What the guest wrote, and what was written to it."""

    def __init__(self) -> None:
        self.output = b""
        self.sent: list[bytes] = []
        self.closed = False
        self._changed = asyncio.Event()

    def say(self, line: str) -> None:
        self.output += line.encode() + b"\r\n"
        self._changed.set()

    def close(self) -> None:
        self.closed = True
        self._changed.set()

    async def read(self, *, from_start: bool = False) -> AsyncIterator[bytes]:
        position = 0 if from_start else len(self.output)
        while True:
            if position < len(self.output):
                chunk, position = self.output[position:], len(self.output)
                yield chunk
            elif self.closed:
                return
            else:
                self._changed.clear()
                await self._changed.wait()

    async def write(self, data: bytes) -> None:
        if self.closed:
            raise ConsoleClosed("the guest is gone")
        self.sent.append(data)

    def history(self) -> bytes:
        return self.output


class FakeGuest:
    """A guest that uses `resident` bytes and is off `off_after` seconds after the button, unless deaf."""

    def __init__(self, pod: FakePod, container: str, shape: GuestShape, pid: int) -> None:
        self.pod, self.container, self.shape = pod, container, shape
        self.name, self.pid = shape.name, pid
        self.screen = FakeConsole()
        self.console: Console = self.screen
        self.oom_score_adj: int | None = pod.shape.containers[container].oom_score_adj
        self.resident = Bytes(0)
        self.off_after = 0.15
        self.presses: list[float] = []
        self.terminated = False
        self._exit: asyncio.Future[GuestExit] = asyncio.get_running_loop().create_future()
        self.screen.say(f"@ hello proto=1 nonce={shape.nonce} kernel=fake deaf={int(shape.deaf)}")

    @property
    def alive(self) -> bool:
        return not self._exit.done()

    def end(self, *, code: int | None = None, signal: int | None = None, oom: OomKill | None = None) -> None:
        if self._exit.done():
            return
        self.resident = Bytes(0)
        self.screen.close()
        at = Seconds(asyncio.get_running_loop().time())
        self._exit.set_result(GuestExit(code=code, signal=signal, oom=oom, at=at))

    async def power_button(self) -> None:
        self.presses.append(asyncio.get_running_loop().time())
        if not self.alive:
            return
        self.screen.say("@ power up=1")
        if not self.shape.deaf:
            self.screen.say("@ bye up=1 held=0 reason=power")
            asyncio.get_running_loop().call_later(self.off_after, self.power_off)

    def power_off(self) -> None:
        if self.alive:
            self.screen.say("[    1.0] reboot: Power down")
        self.end(code=0)

    def panic(self) -> None:
        self.screen.say("[    1.0] Kernel panic - not syncing: System is deadlocked on memory")
        self.end(code=0)

    def oom(self, domain: str = "container") -> None:
        kill = OomKill(
            pid=self.pid,
            process="qemu-system-x86",
            domain=domain,  # type: ignore[arg-type]
            node=self.pod.node.name,
            pod_uid=self.pod.uid,
            container=self.container,
            oom_score_adj=self.oom_score_adj,
        )
        self.pod.node.machine.kills.put_nowait(kill)
        self.end(signal=9, oom=kill)

    def terminate(self) -> None:
        self.terminated = True
        self.end(code=0)

    def kill(self) -> None:
        self.end(signal=9)

    async def wait(self) -> GuestExit:
        return await asyncio.shield(self._exit)

    def process_memory(self) -> Mapping[str, int]:
        return {"pid": self.pid, "rss": self.resident, "pss": self.resident} if self.alive else {}


@dataclass
class FakePod:
    """A pod's sandbox."""

    node: FakeNode
    shape: PodShape
    guests: list[FakeGuest] = field(default_factory=list)
    removed: bool = False
    uid: str = ""

    def __post_init__(self) -> None:
        self.uid = self.shape.uid

    def memory(self) -> Memory:
        used = sum(guest.resident for guest in self.guests)
        return Memory(
            usage=Bytes(used),
            working_set=Bytes(used),
            rss=Bytes(used),
            limit=self.shape.limit,
            accounting=self.node.machine.accounting,
        )

    def swap_limit(self, container: str) -> Bytes | None:
        shape = self.shape.containers.get(container)
        return None if shape is None else shape.swap

    async def start_guest(self, container: str, shape: GuestShape) -> FakeGuest:
        if self.node.machine.broken:
            raise MachineError(self.node.machine.broken)
        await asyncio.sleep(0.05)
        guest = FakeGuest(self, container, shape, pid=1000 + len(self.node.machine.guests))
        self.guests.append(guest)
        self.node.machine.guests[shape.name] = guest
        return guest

    async def remove(self) -> None:
        for guest in self.guests:
            guest.kill()
        self.removed = True
        self.node.pods.pop(self.uid, None)


@dataclass
class FakeNode:
    """A node of a size; `daemons` bytes are used outside the pods."""

    machine: FakeMachine
    name: str
    capacity: Bytes
    pods: dict[str, FakePod] = field(default_factory=dict)
    swap: Bytes = Bytes(0)
    kubepods_limit: Bytes | None = None
    daemons: Bytes = Bytes(0)
    removed: bool = False

    def _used(self) -> int:
        return sum(pod.memory().usage for pod in self.pods.values())

    def memory(self) -> Memory:
        used = Bytes(self._used() + self.daemons)
        return Memory(
            usage=used, working_set=used, rss=used, limit=self.capacity, accounting=self.machine.accounting
        )

    def kubepods_memory(self) -> Memory:
        used = Bytes(self._used())
        return Memory(
            usage=used,
            working_set=used,
            rss=used,
            limit=self.kubepods_limit,
            accounting=self.machine.accounting,
        )

    def set_kubepods_limit(self, limit: Bytes | None) -> None:
        self.kubepods_limit = limit

    async def add_pod(self, shape: PodShape) -> FakePod:
        pod = FakePod(self, shape)
        self.pods[shape.uid] = pod
        return pod

    async def remove(self) -> None:
        for pod in list(self.pods.values()):
            await pod.remove()
        self.removed = True


class FakeMachine:
    """Carries fake nodes. `guests` by the names their shapes gave them."""

    def __init__(self, *, accounting: Accounting = "v1") -> None:
        self.accounting: Accounting = accounting
        self.accelerator: Literal["kvm", "tcg"] = "tcg"
        self.qualifiers: Mapping[str, str] = {
            "kernel": "6.1.0-fake",
            "qemu": "7.2",
            "guestKernel": "6.1.0",
            "accelerator": "tcg",
            "cgroup": accounting,
        }
        self.nodes: dict[str, FakeNode] = {}
        self.guests: dict[str, FakeGuest] = {}
        self.kills: asyncio.Queue[OomKill] = asyncio.Queue()
        self.broken = ""
        self.swap = Bytes(0)
        """Of the nodes made from now on."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        for node in self.nodes.values():
            await node.remove()

    def capabilities(self) -> Mapping[str, str]:
        return {"cgroup-write": "yes"}

    async def create_node(self, name: str, capacity: Bytes) -> FakeNode:
        node = FakeNode(self, name, capacity, swap=self.swap)
        self.nodes[name] = node
        return node

    async def oom_kills(self) -> AsyncIterator[OomKill]:
        while True:
            yield await self.kills.get()
