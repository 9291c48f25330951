"""A guest that can't be driven any more ends a run with one line, not with a wait for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from harness.kube.errors import Unreachable
from harness.records.model import Guest, Note, Record
from harness.run.guests import GuestError, Guests
from harness.run.stream import Stream
from harness.run.world import World
from harness.units import Bytes, Seconds

VMI = "ns/hog"


@dataclass
class Scene:
    """A stream with a clock of its own."""

    t: float = 0.0
    records: list[Record] = field(default_factory=list)
    sent: asyncio.Event = field(default_factory=asyncio.Event)

    def append(self, record: Record) -> int:
        self.records.append(record)
        return len(self.records)

    async def send(self, data: bytes) -> None:
        self.sent.set()


class Closed:
    async def send(self, data: bytes) -> None:
        raise Unreachable("console of ns/hog: closed")


def made(scene: Scene, wire: Closed | Scene) -> tuple[Guests, Stream]:
    stream = Stream(scene, started=0.0, wall=lambda: scene.t, clock=lambda: scene.t)
    world = World()
    stream.listen(world.apply)
    world.expect_guest(VMI, "00ff")
    guests = Guests(stream, world)
    guests.attach(VMI, wire)
    return guests, stream


async def test_a_console_that_stays_closed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.run.guests.SEND_DEADLINE", 0.3)
    scene = Scene()
    guests, _ = made(scene, Closed())
    with pytest.raises(GuestError) as caught:
        await guests.do(VMI, "grow", to=1)
    assert str(caught.value) == (
        "ns/hog: its console is closed and did not open again within 0.3 s: "
        "does virt-api run, has somebody else opened it?"
    )
    told = [r.what for r in scene.records if isinstance(r, Note)]
    assert told == ["reconnect"] * (len(told) - 1) + ["lost-command"]


async def driven(scene: Scene, tell: Callable[[Stream], None]) -> None:
    guests, stream = made(scene, scene)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(guests.do(VMI, "grow", held=Bytes(100), to=100))
        await scene.sent.wait()
        tell(stream)
        await waiting


async def test_a_guest_that_falls_silent_is_not_waited_for_for_ever() -> None:
    scene = Scene()

    def tell(stream: Stream) -> None:
        stream.guest(
            VMI, "@ stat up=1 held=50 resident=1 memtotal=1 memavailable=1 p50=1 p99=1 max=1 stalls=0"
        )
        for scene.t in (60.0, 120.0, 121.0):
            stream.note("healthy")  # whatever comes, somebody looks

    with pytest.raises(ExceptionGroup) as caught:
        await driven(scene, tell)
    assert [str(e) for e in caught.value.exceptions] == [
        "ns/hog: not a word on its console for 120 s: it is closed, or the guest hangs"
    ]


async def test_one_that_goes_on_talking_or_never_told_its_state_is_waited_for() -> None:
    for first in ("@ stat up=1 held=50", "@ held up=1 id=1 bytes=50"):
        scene = Scene()

        def tell(stream: Stream, first: str = first, scene: Scene = scene) -> None:
            stream.guest(VMI, first)
            for scene.t in (100.0, 200.0, 300.0):
                if first.startswith("@ stat"):
                    stream.guest(VMI, "@ held up=1 id=1 bytes=60")
                stream.note("healthy")
            stream.guest(VMI, "@ ok id=1 held=100 ms=1")

        await driven(scene, tell)
        assert isinstance(scene.records[-1], Guest)
        assert scene.records[-1].t == Seconds(300.0)
