from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import cast

from harness.cluster.base import Reading
from harness.cluster.probe import Probe, host, note
from harness.embedded.machine.base import ContainerShape, DiskRead, GuestShape, Node, OomKill, PodShape
from harness.embedded.running import RunningPod
from harness.units import MIB, Bytes
from tests.embedded.fakes import FakeMachine

SHAPE = PodShape(
    uid="u1",
    name="virt-launcher-hog-abcde",
    qos="Burstable",
    limit=None,
    containers={"compute": ContainerShape(limit=None, oom_score_adj=900)},
)


class Sight:
    """A fake machine with one pod, seen as the embedded cluster shows it."""

    def __init__(self, machine: FakeMachine) -> None:
        self.machine = machine
        self.running: list[RunningPod] = []
        self.disks: AsyncIterator[DiskRead] | None = None

    async def fill(self) -> None:
        node = await self.machine.create_node("n1", Bytes(1024 * MIB))
        pod = await node.add_pod(SHAPE)
        guest = await pod.start_guest("compute", GuestShape(name="ns_hog", memory=Bytes(256 * MIB)))
        guest.resident = Bytes(100 * MIB)
        self.running.append(
            RunningPod(
                node="n1", uid="u1", namespace="ns", name=SHAPE.name, vmi="ns/hog", pod=pod, guest=guest
            )
        )

    def nodes(self) -> Mapping[str, Node]:
        return cast("Mapping[str, Node]", self.machine.nodes)

    def pods(self) -> tuple[RunningPod, ...]:
        return tuple(self.running)

    def oom_kills(self) -> AsyncIterator[OomKill]:
        return self.machine.oom_kills()

    def disk_reads(self) -> AsyncIterator[DiskRead] | None:
        return self.disks

    def host(self) -> None:
        return None


async def collect(probe: Probe, *, seconds: float) -> list[Reading]:
    found: list[Reading] = []
    try:
        async with asyncio.timeout(seconds), aclosing(probe.readings()) as readings:
            async for reading in readings:
                found.append(reading)  # noqa: PERF401 - what was seen before the time-out counts
    except TimeoutError:
        pass
    return found


def samples(found: list[Reading], source: str) -> list[Mapping[str, object]]:
    return [r.fields for r in found if r.stream == "sample" and r.fields["source"] == source]


async def test_rows_come_twice_a_second_and_processes_once() -> None:
    sight = Sight(FakeMachine())
    await sight.fill()
    found = await collect(Probe(sight, deque()), seconds=1.3)
    rows = samples(found, "cgroup")
    # at 0, 0.5 and 1.0 s
    assert [row["subject"] for row in rows] == ["/", "/kubepods", "pod/u1"] * 3
    assert rows[0]["data"] == {
        "usage": 104857600,
        "workingSet": 104857600,
        "inactiveFile": 0,
        "rss": 104857600,
        "limit": 1073741824,
        "mode": "v1",
    }
    assert rows[2]["data"] == {
        "usage": 104857600,
        "workingSet": 104857600,
        "inactiveFile": 0,
        "rss": 104857600,
        "mode": "v1",
        "pod": "ns/virt-launcher-hog-abcde",
        "vmi": "ns/hog",
    }
    processes = samples(found, "process")
    assert [p["subject"] for p in processes] == ["ns/hog", "ns/hog"]
    assert processes[0]["data"] == {"pid": 1000, "rss": 104857600, "pss": 104857600, "oomScoreAdj": 900}
    assert not [r for r in found if r.stream == "note"]


async def test_a_kill_is_told_at_once_and_attributed_even_when_its_pod_is_gone() -> None:
    sight = Sight(FakeMachine())
    await sight.fill()
    guest = sight.machine.guests["ns_hog"]

    def kill() -> None:
        guest.oom("node")
        sight.running.clear()

    asyncio.get_running_loop().call_later(0.1, kill)
    found = await collect(Probe(sight, deque()), seconds=0.3)
    kernel = [r.fields for r in found if r.stream == "kernel"]
    assert len(kernel) == 1
    assert {k: kernel[0][k] for k in ("vmi", "scope", "node", "pid", "oomScoreAdj")} == {
        "vmi": "ns/hog",
        "scope": "node",
        "node": "n1",
        "pid": 1000,
        "oomScoreAdj": 900,
    }


async def test_what_lay_on_a_disk_is_an_action_of_its_vmi_even_when_the_pod_is_gone() -> None:
    sight = Sight(FakeMachine())
    await sight.fill()

    async def disks() -> AsyncIterator[DiskRead]:
        await asyncio.sleep(0.1)
        sight.running.clear()
        yield DiskRead(pod_uid="u1", guest="ns_hog", runs={9: ((1, 4), (6, 6))}, slots=8192, torn=1)
        yield DiskRead(pod_uid="other", guest="ns_b_c", why="Input/output error")

    sight.disks = disks()
    found = await collect(Probe(sight, deque()), seconds=0.3)
    (action,) = [r.fields for r in found if r.stream == "action"]
    assert action == {
        "what": "disk-read",
        "target": "ns/hog",
        "args": {"runs": {"9": [[1, 4], [6, 6]]}, "slots": 8192, "torn": 1},
    }
    (told,) = [r.fields for r in found if r.stream == "note"]
    assert (told["what"], told["data"]) == ("disk-unread", {"vmi": "ns/b_c"})
    assert "Input/output error" in told["text"]
    # the grid of looks is kept meanwhile
    assert len(samples(found, "meminfo")) == 1


async def test_lateness_and_lost_looks_are_told() -> None:
    sight = Sight(FakeMachine())
    probe = Probe(sight, deque())

    async def block() -> None:
        await asyncio.sleep(0.1)
        import time  # noqa: PLC0415

        time.sleep(1.2)  # noqa: ASYNC251 - this is the lateness

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(block())
        collected = tasks.create_task(collect(probe, seconds=1.7))
    notes = [r.fields for r in collected.result() if r.stream == "note"]
    assert [n["what"] for n in notes] == ["late-pass", "lost-sample"]
    assert 0.7 <= notes[0]["data"]["seconds"] <= 1.1
    assert notes[1]["data"] == {"seconds": 0.5, "count": 1}


async def test_notes_of_the_cluster_come_with_the_readings() -> None:
    told = deque([note("late-pass", "the kubelet was late", seconds=0.4)])
    found = await collect(Probe(Sight(FakeMachine()), told), seconds=0.1)
    assert [r.fields["text"] for r in found if r.stream == "note"] == ["the kubelet was late"]
    assert not told


def test_the_hosts_own_memory_is_read() -> None:
    meminfo = next(r.fields["data"] for r in host() if r.fields["source"] == "meminfo")
    assert meminfo["MemTotal"] > meminfo["MemAvailable"] > 0
