"""A node's own daemons: started, told what to hold, and gone, on a stream that the test itself feeds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, cast

import pytest

from harness.cluster.base import Cluster, Daemon, NodeHandle
from harness.cluster.errors import NotObservable
from harness.records.model import Action, Note, Record, Sample
from harness.run.daemons import Daemons
from harness.run.errors import RunError
from harness.run.guests import Guests
from harness.run.stream import Stream
from harness.run.tasks import background
from harness.run.workload import Held, Workload
from harness.run.world import World
from harness.units import MIB, Bytes
from tests.run.scenarios import load
from tests.run.test_world import cgroup, pod, vmi

HANDLES = (NodeHandle(name="target", kube_name="n1", memory=Bytes(1024 * MIB)),)
DAEMONS = "daemons: [{name: sshd, node: target}]\nrequires: [{survives: {fleet: calm}}]\nworkload:\n"


class Sink:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: Record, /) -> int:
        self.records.append(record)
        return len(self.records)


class Process:
    """Says hello, answers every command but a ramp beyond 500 MiB, which goes on until it is stopped."""

    pid = 77

    def __init__(self) -> None:
        self.lines_sent: list[str] = []
        self.said: asyncio.Queue[str | None] = asyncio.Queue()
        self.said.put_nowait("@ hello proto=1 nonce=0 kernel=x memtotal=9 memavailable=9 deaf=0")
        self.ended = False
        self.ramp = ""
        self.ramping = asyncio.Event()
        self.refuses = False

    async def send(self, line: str) -> None:
        self.lines_sent.append(line)
        number, verb, *rest = line.split()
        fields = dict(part.split("=") for part in rest)
        if verb == "grow" and int(fields["to"]) > 500 * MIB:
            self.ramp = number
            self.ramping.set()
            if self.refuses:
                self.say(f"@ err id={number} msg=no memory")
            return
        if self.ramp:
            self.say(f"@ ok id={self.ramp} held={123 * MIB} ms=1 cut=1")
            self.ramp = ""
        self.say(f"@ ok id={number} held={fields.get('to', 123 * MIB)} ms=1")

    def say(self, line: str | None) -> None:
        self.said.put_nowait(line)

    async def lines(self) -> AsyncIterator[str]:
        while (line := await self.said.get()) is not None:
            yield line

    async def end(self) -> None:
        self.ended = True


class Source:
    kind = "local"

    def __init__(self, process: Process) -> None:
        self.process = process
        self.asked: list[tuple[str, str]] = []

    async def start_daemon(self, node: NodeHandle, name: str) -> Daemon:
        self.asked.append((node.kube_name, name))
        return self.process


class Stage:
    def __init__(self, tmp_path: Path, body: str, *, replay: Held | None = None) -> None:
        self.scenario = load(tmp_path, DAEMONS + body)
        self.sink, self.process = Sink(), Process()
        self.source = Source(self.process)
        self.stream = Stream(self.sink)
        self.world = World()
        self.world.capacity["n1"] = Bytes(1024 * MIB)
        self.stream.listen(self.world.apply)
        for name in ("hog", "calm"):
            self.world.expect_guest(f"ns/{name}", "cafe")
            self.stream.watch("ADDED", pod(name))
            self.stream.watch("MODIFIED", vmi(name, "Running"))
            self.stream.guest(f"ns/{name}", "@ hello proto=1 nonce=cafe memtotal=9 memavailable=9")
        self.daemons = Daemons(self.stream)
        self.workload = Workload(
            scenario=self.scenario,
            members={"hog": ("ns/hog",), "calm": ("ns/calm",)},
            stream=self.stream,
            world=self.world,
            guests=Guests(self.stream, self.world),
            kubelet={"n1": {"evictionHard": {"memory.available": "500Mi"}}},
            daemons=self.daemons,
            hurry_stats=nullcontext,
            replay=replay,
        )

    async def run(self) -> None:
        async with background() as tasks:
            await self.daemons.start(self.scenario.daemons, cast("Cluster", self.source), HANDLES, tasks)
            await self.workload.run()

    def args(self, what: str) -> list[dict[str, Any]]:
        return [r.args for r in self.sink.records if isinstance(r, Action) and r.what == what]


async def test_a_daemon_grows_and_shrinks_to_bytes_and_ends_with_the_run(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        """
  - {grow: {daemon: sshd, to: 100Mi, rate: 10Mi/s}}
  - {name: back, shrink: {daemon: sshd, to: 30Mi}}
""",
    )
    async with asyncio.timeout(5):
        await stage.run()
    assert stage.source.asked == [("n1", "sshd")]
    assert stage.process.lines_sent == [
        "1 grow force=1 to=104857600 rate=10485760 pages=unique seed=1",
        "2 shrink to=31457280",
    ]
    assert stage.process.ended
    assert stage.args("step-done") == [
        {"held": {}, "daemons": {"sshd": 100 * MIB}},
        {"held": {}, "daemons": {"sshd": 30 * MIB}},
    ]
    assert stage.workload.held["back"] == {"sshd": 30 * MIB}
    samples = [r for r in stage.sink.records if isinstance(r, Sample) and r.source == "process"]
    assert {(one.node, one.subject) for one in samples} == {("n1", "daemon/sshd")}
    assert samples[-1].data == {"pid": 77, "held": 30 * MIB}


async def test_a_ramp_against_availability_is_stopped_when_it_is_reached(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "  - {name: x, grow: {daemon: sshd, until: {available: threshold - 60Mi}}}\n")
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(stage.run())
        await stage.process.ramping.wait()
        stage.stream.publish(cgroup(stage.stream.now, (1024 - 441) * MIB))
        await asyncio.sleep(0.01)
        assert not run.done()
        stage.stream.publish(cgroup(stage.stream.now, (1024 - 440) * MIB))
    assert stage.process.lines_sent[0] == f"1 grow force=1 to={1024 * MIB} rate=0 pages=unique seed=1"
    assert stage.process.lines_sent[1].startswith("2 stop")
    assert stage.workload.held["x"] == {"sshd": 123 * MIB}
    notes = [r.text for r in stage.sink.records if isinstance(r, Note) and r.what == "ramp-over"]
    assert notes == [f"x on n1: available {440 * MIB} <= {440 * MIB}"]


async def test_a_control_repeats_what_the_daemon_held(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        "  - {name: x, grow: {daemon: sshd, until: {available: threshold}}}\n",
        replay={"x": {"sshd": Bytes(44 * MIB)}},
    )
    async with asyncio.timeout(5):
        await stage.run()
    assert stage.process.lines_sent == [f"1 grow force=1 to={44 * MIB} rate=0 pages=unique seed=1"]


async def test_a_ramp_ends_when_its_daemon_is_killed(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "  - {grow: {daemon: sshd, until: {available: 1Mi}}}\n")
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.run())
        await stage.process.ramping.wait()
        stage.process.say(f"@ held up=1 id=1 bytes={300 * MIB}")
        stage.process.say(None)
    (note,) = [r for r in stage.sink.records if isinstance(r, Note) and r.what == "daemon-ended"]
    assert note.data == {"node": "n1", "held": 300 * MIB}


async def test_what_it_refuses_fails_the_run(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "  - {grow: {daemon: sshd, to: 600Mi}}\n")
    stage.process.refuses = True
    with pytest.raises(RunError, match="daemon sshd: no memory"):
        await asyncio.wait_for(stage.run(), 5)


async def test_a_cluster_without_such_processes_can_not_show_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "  - {grow: {daemon: sshd, to: 600Mi}}\n")

    class Elsewhere:
        kind = "kubeconfig"

    with pytest.raises(NotObservable, match="outside the pods can't be started on the nodes of a kubeconfig"):
        async with background() as tasks:
            await stage.daemons.start(stage.scenario.daemons, cast("Cluster", Elsewhere()), HANDLES, tasks)
