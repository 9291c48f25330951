"""Steps, triggers and ramps, on a stream that the test itself feeds."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.kube.errors import Unreachable
from harness.records.model import Action, Note, Record
from harness.run.daemons import Daemons
from harness.run.errors import RunError
from harness.run.guests import Guests
from harness.run.stream import Stream
from harness.run.workload import Held, Workload
from harness.run.world import World
from harness.spec.model import Amount, UntilAvailable
from harness.units import MIB, Bytes
from tests.run.scenarios import load
from tests.run.test_world import EVICTED, cgroup, pod, vmi


class Sink:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: Record, /) -> int:
        self.records.append(record)
        return len(self.records)


class Wire:
    """A guest that answers every command at once, but a ramp only when it is stopped or `fill`ed."""

    def __init__(self, stage: Stage, name: str) -> None:
        self.stage, self.name = stage, name
        self.lines: list[str] = []
        self.breaks = 0
        self.ramp = ""

    def say(self, line: str) -> None:
        self.stage.stream.guest(f"ns/{self.name}", line)

    async def send(self, data: bytes) -> None:
        if self.breaks:
            self.breaks -= 1
            raise Unreachable("closed")
        line = data.decode().strip()
        self.lines.append(line)
        number, verb, *_ = line.split()
        if verb == "grow":
            self.ramp = number
            return
        if self.ramp:
            self.say(f"@ ok id={self.ramp} held=77 ms=1 cut=1")
            self.ramp = ""
        self.say(f"@ ok id={number} held=77 ms=1")

    def fill(self, held: int) -> None:
        self.say(f"@ ok id={self.ramp} held={held} ms=1")
        self.ramp = ""


class Stage:
    """A world with two guests on one node, and a workload to run on it."""

    def __init__(
        self, tmp_path: Path, body: str, *, replay: Held | None = None, threshold: str = "500Mi"
    ) -> None:
        scenario = load(tmp_path, "requires: [{survives: {fleet: calm}}]\nworkload:\n" + body)
        self.sink = Sink()
        self.stream = Stream(self.sink)
        self.world = World()
        self.world.capacity["n1"] = Bytes(1024 * MIB)
        self.stream.listen(self.world.apply)
        self.guests = Guests(self.stream, self.world)
        self.wires = {name: Wire(self, name) for name in ("hog", "calm")}
        self.hurried = 0
        self.tuned: list[dict[str, str]] = []
        for name, wire in self.wires.items():
            self.world.expect_guest(f"ns/{name}", "cafe")
            self.guests.attach(f"ns/{name}", wire)
            self.stream.watch("ADDED", pod(name))
        self.workload = Workload(
            scenario=scenario,
            members={"hog": ("ns/hog",), "calm": ("ns/calm",)},
            stream=self.stream,
            world=self.world,
            guests=self.guests,
            kubelet={"n1": {"evictionHard": {"memory.available": threshold}}},
            daemons=Daemons(self.stream),
            hurry_stats=self.hurry,
            tune=self.tune,
            replay=replay,
        )

    async def tune(self, ksm: Mapping[str, str]) -> None:
        self.tuned.append(dict(ksm))

    @contextmanager
    def hurry(self) -> Iterator[None]:
        self.hurried += 1
        yield

    def running(self, *names: str) -> None:
        for name in names or self.wires:
            self.stream.watch("MODIFIED", vmi(name, "Running"))
            self.wires[name].say(f"@ hello proto=1 nonce=cafe memtotal={200 * MIB} memavailable={100 * MIB}")

    def available(self, mib: int) -> None:
        self.stream.publish(cgroup(self.stream.now, (1024 - mib) * MIB))

    def actions(self, what: str) -> list[Action]:
        return [r for r in self.sink.records if isinstance(r, Action) and r.what == what]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_step_waits_for_all_of_its_fleet_and_the_next_for_the_step(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        """
  - {name: one, when: {fleet: all, is: Running}, grow: {fleet: [hog], to: 50Mi, rate: 25Mi/s, pages: zero}}
  - {name: two, when: {step: done}, shrink: {fleet: [hog, calm], to: 10Mi}}
""",
    )
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.workload.run())
        stage.running("hog")
        await settle()
        assert stage.wires["hog"].lines == []
        stage.running("calm")
        await settle()
        assert stage.wires["hog"].lines == ["1 grow to=52428800 rate=26214400 pages=zero seed=1"]
        assert [a.target for a in stage.actions("step-start")] == ["one"]
        stage.wires["hog"].fill(52428800)
    assert stage.wires["hog"].lines[1:] == ["2 shrink to=10485760"]
    assert stage.wires["calm"].lines == ["1 shrink to=10485760"]
    assert [a.target for a in stage.actions("step-done")] == ["one", "two"]
    assert stage.actions("step-done")[0].args["held"] == {"ns/hog": 52428800}


UNTIL = "  - {name: cross, when: {fleet: all, is: Ready}, grow: {fleet: [hog, calm], until: {available: threshold - 60Mi}, rate: 5Mi/s}}\n"


TUNED = """
  - {name: one, when: {fleet: all, is: Running}, grow: {fleet: hog, to: 50Mi}}
  - {name: merge, when: {step: done}, tune: {ksm: {run: 1, pages_to_scan: 5000}}}
"""


async def test_the_machine_is_tuned_when_the_step_before_is_done(tmp_path: Path) -> None:
    stage = Stage(tmp_path, TUNED)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.workload.run())
        stage.running()
        await settle()
        assert stage.tuned == []
        stage.wires["hog"].fill(50 * MIB)
    assert stage.tuned == [{"pages_to_scan": "5000", "run": "1"}]
    assert [a.target for a in stage.actions("step-done")] == ["one", "merge"]


async def test_what_can_not_be_tuned_ends_the_run(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path,
        TUNED.replace("is: Running}, grow: {fleet: hog, to: 50Mi}", "is: Running}, hold: {fleet: hog}"),
    )
    stage.workload.tune = None
    stage.running()
    with pytest.raises(RunError, match="step 'merge': no machine of this cluster can be tuned"):
        async with asyncio.timeout(5):
            await stage.workload.run()


async def test_a_ramp_ends_when_the_node_has_as_little_as_wanted(tmp_path: Path) -> None:
    stage = Stage(tmp_path, UNTIL)
    stage.running()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.workload.run())
        await settle()
        # 90 % of 100 MiB
        assert stage.wires["hog"].lines == ["1 grow to=93323264 rate=5242880 pages=unique seed=1"]
        stage.available(441)
        await settle()
        assert len(stage.wires["hog"].lines) == 1
        stage.available(440)
    assert stage.wires["hog"].lines[1] == "2 stop"
    assert stage.wires["calm"].lines[1] == "2 stop"
    assert stage.workload.held == {"cross": {"hog": 77, "calm": 77}}
    assert [r.text for r in stage.sink.records if isinstance(r, Note) and r.what == "ramp-over"] == [
        "cross on n1: available 461373440 <= 461373440"
    ]


async def test_a_ramp_ends_for_good_with_the_first_victim(tmp_path: Path) -> None:
    stage = Stage(tmp_path, UNTIL)
    stage.running()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.workload.run())
        await settle()
        stage.stream.watch("MODIFIED", pod("hog", **EVICTED))
    assert stage.wires["hog"].lines[1:] == []  # it is dying: nothing more is asked of it
    assert stage.wires["calm"].lines[1:] == ["2 stop"]


async def test_an_interrupted_ramp_is_stopped(tmp_path: Path) -> None:
    stage = Stage(tmp_path, UNTIL)
    stage.running()
    task = asyncio.create_task(stage.workload.run())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stage.wires["hog"].lines[-1] == "2 stop"


async def test_a_replay_grows_to_what_was_held_instead(tmp_path: Path) -> None:
    stage = Stage(tmp_path, UNTIL, replay={"cross": {"hog": Bytes(50), "calm": Bytes(60)}})
    stage.running()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.workload.run())
        await settle()
        assert stage.wires["hog"].lines == ["1 grow to=50 rate=5242880 pages=unique seed=1"]
        assert stage.wires["calm"].lines == ["1 grow to=60 rate=5242880 pages=unique seed=1"]
        stage.available(1)  # what ends the ramp of a main run does not end this one
        await settle()
        assert len(stage.wires["hog"].lines) == 1
        stage.wires["hog"].fill(50)
        stage.wires["calm"].fill(60)


async def test_a_trigger_of_statistics_waits_for_the_kubelets_next_look(tmp_path: Path) -> None:
    stage = Stage(
        tmp_path, "  - {when: {fleet: all, is: Ready, after: stats-refreshed}, hold: {fleet: [hog]}}\n"
    )
    stage.running()
    summary: dict[str, Any] = {"node": {"memory": {"time": "10:00:00", "availableBytes": 1}}}
    stage.stream.sample(source="stats/summary", node="n1", data=summary)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.workload.run())
        await settle()
        stage.stream.sample(source="stats/summary", node="n1", data=summary)
        await settle()
        assert stage.wires["hog"].lines == []
        assert stage.hurried == 1
        later = {"node": {"memory": {"time": "10:00:10", "availableBytes": 1}}}
        stage.stream.sample(source="stats/summary", node="n1", data=later)
    assert stage.wires["hog"].lines == ["1 hold"]


async def test_a_trigger_of_pressure_waits_for_the_condition(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "  - {when: {fleet: all, is: Ready, pressure: true}, hold: {fleet: [hog]}}\n")
    stage.running()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.workload.run())
        await settle()
        assert stage.wires["hog"].lines == []
        conditions = [{"type": "MemoryPressure", "status": "True"}]
        stage.stream.watch(
            "ADDED", {"kind": "Node", "metadata": {"name": "n1"}, "status": {"conditions": conditions}}
        )
    assert stage.wires["hog"].lines == ["1 hold"]


async def test_a_broken_session_does_not_lose_a_command(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "  - {when: {fleet: all, is: Ready}, hold: {fleet: [hog]}}\n")
    stage.running()
    stage.wires["hog"].breaks = 2
    await stage.workload.run()
    assert stage.wires["hog"].lines == ["1 hold"]
    assert [r.what for r in stage.sink.records if isinstance(r, Note)] == ["reconnect", "reconnect"]


async def test_a_lost_answer_is_made_up_for_by_what_the_guest_holds(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "  - {when: {fleet: all, is: Ready}, grow: {fleet: [hog], to: 5Mi}}\n")
    stage.running()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(stage.workload.run())
        await settle()
        stage.wires["hog"].say("@ stat up=9 held=5242880 resident=1")
    assert stage.workload.held["grow-1"] == {"hog": 5242880}


async def test_percentages_are_of_what_was_available_at_hello(tmp_path: Path) -> None:
    stage = Stage(tmp_path, "  - {when: {fleet: all, is: Ready}, grow: {fleet: [hog], to: 33%}}\n")
    stage.running()
    assert stage.guests.bytes_of("ns/hog", Amount(share=0.33)) == 34_603_008  # 8448 pages
    assert stage.guests.bytes_of("ns/hog", Amount(bytes=Bytes(5))) == 5


@pytest.mark.parametrize(
    ("threshold", "until", "target"),
    [
        ("200Mi", UntilAvailable(threshold="hard", offset=-60 * MIB), 140 * MIB),
        ("25%", UntilAvailable(threshold="hard"), 256 * MIB),
        ("200Mi", UntilAvailable(threshold="hard", offset=-300 * MIB), 0),
        ("200Mi", UntilAvailable(bytes=Bytes(7)), 7),
    ],
)
async def test_targets_come_from_the_effective_threshold(
    tmp_path: Path, threshold: str, until: UntilAvailable, target: int
) -> None:
    stage = Stage(tmp_path, UNTIL, threshold=threshold)
    assert stage.workload.target(until, "n1") == target


async def test_a_threshold_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    stage = Stage(tmp_path, UNTIL)
    with pytest.raises(RunError, match="no soft eviction threshold"):
        stage.workload.target(UntilAvailable(threshold="soft"), "n1")
