"""Fake guests that speak console protocol 1, and a cluster of them behind the real embedded API server."""

from __future__ import annotations

import asyncio
from typing import Literal

from harness.cluster.base import Evidence
from harness.cluster.embedded import EmbeddedSource
from harness.embedded.kubelet.timing import Timing
from harness.embedded.machine.base import GuestShape, Machine, PodShape
from harness.units import MIB, Bytes, Seconds
from tests.embedded.fakes import FakeGuest, FakeMachine, FakeNode, FakePod

IDLE = 100 * MIB
"""What an idle fake guest uses."""
TICK = 0.02

FAST = Timing(
    status_period=Seconds(0.2),
    eviction_period=Seconds(0.3),
    housekeeping=Seconds(0.1),
    housekeeping_max=Seconds(0.1),
    cleanup_poll=Seconds(0.1),
    sandbox=Seconds(0.02),
    container_start=Seconds(0.01),
    domain_start=Seconds(0.02),
    after_kill=Seconds(0.05),
    settle=Seconds(0.05),
    teardown=Seconds(0.05),
    domain_gone=Seconds(0.1),
    launcher_exit=Seconds(0.2),
    unresponsive=Seconds(0.5),
)


class Agent:
    """The agent inside a fake guest."""

    def __init__(self, guest: FakeGuest, machine: AgentMachine) -> None:
        self.guest = guest
        self.held = 0
        self.commands: list[str] = []
        self._machine = machine
        self._ramp: asyncio.Task[None] | None = None
        self._ramp_id = ""
        guest.screen.output = b""
        guest.screen.write = self.write  # type: ignore[method-assign]
        guest.resident = Bytes(IDLE)
        memory = guest.shape.memory
        self.hello = (
            f"@ hello proto=1 nonce={guest.shape.nonce} kernel=6.1.0 memtotal={memory}"
            f" memavailable={memory - 40 * MIB} deaf={int(guest.shape.deaf)}"
        )
        guest.screen.say(self.hello)
        machine.own(self._repeat())

    async def _repeat(self) -> None:
        while self.guest.alive and not self.commands:
            await asyncio.sleep(0.2)
            if not self.commands and self.guest.alive:
                self.guest.screen.say(self.hello)

    async def write(self, data: bytes) -> None:
        for line in data.decode().splitlines():
            self.commands.append(line)
            number, verb, *words = line.split()
            arguments = dict(word.split("=", 1) for word in words)
            if self._ramp is not None and not self._ramp.done():
                self._ramp.cancel()
                self.guest.screen.say(f"@ ok id={self._ramp_id} held={self.held} ms=1 cut=1")
            if verb == "grow":
                self._ramp_id = number
                self._ramp = self._machine.own(
                    self._grow(number, int(arguments["to"]), int(arguments["rate"]))
                )
            elif verb == "shrink":
                self._hold(int(arguments["to"]))
                self._ok(number)
            elif verb == "cache":
                self.guest.screen.say(f"@ err id={number} msg=no room for it")
            else:
                self._ok(number)

    async def _grow(self, number: str, to: int, rate: int) -> None:
        while self.held < to and self.guest.alive:
            await asyncio.sleep(TICK)
            self._hold(min(to, self.held + (int(rate * TICK) if rate else to)))
            self.guest.screen.say(f"@ held up=1 id={number} bytes={self.held}")
        if self.guest.alive:
            self._ok(number)

    def _ok(self, number: str) -> None:
        self.guest.screen.say(f"@ ok id={number} held={self.held} ms=1")

    def _hold(self, amount: int) -> None:
        if self.guest.alive:
            self.held = amount
            self.guest.resident = Bytes(IDLE + amount)


class AgentPod(FakePod):
    """Starts guests with agents in them."""

    async def start_guest(self, container: str, shape: GuestShape) -> FakeGuest:
        guest = await super().start_guest(container, shape)
        machine = self.node.machine
        assert isinstance(machine, AgentMachine)
        machine.agents[shape.name.rpartition("_")[2]] = Agent(guest, machine)
        return guest


class AgentNode(FakeNode):
    """Makes pods of that kind."""

    async def add_pod(self, shape: PodShape) -> FakePod:
        pod = AgentPod(self, shape)
        self.pods[shape.uid] = pod
        return pod


class AgentMachine(FakeMachine):
    """Carries them; `agents` by VMI name."""

    def __init__(self) -> None:
        super().__init__()
        self.agents: dict[str, Agent] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def own(self, work: object) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        return task

    async def create_node(self, name: str, capacity: Bytes) -> FakeNode:
        node = AgentNode(self, name, capacity)
        self.nodes[name] = node
        return node

    async def __aexit__(self, *exc: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await super().__aexit__(*exc)


class AgentCluster(EmbeddedSource):
    """`local` without QEMU, and in a hurry."""

    kind: Literal["local", "kind", "kubeconfig", "model"] = "local"
    evidence: Evidence = "predicted"

    def __init__(self) -> None:
        super().__init__(timing=FAST)
        self.fake = AgentMachine()

    async def open_machine(self) -> Machine:
        return self.fake

    def size(self) -> Bytes:
        return Bytes(4096 * MIB)
