"""KSM tuned by a file while a run goes on: what is looked at, written and recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.base import HostRequest, NodeHandle
from harness.cluster.errors import ClusterError
from harness.records.model import Action, Record, Sample
from harness.rules.ksmtuned import settings
from harness.run import ksmtuned
from harness.run.errors import RunError
from harness.run.ksmtuned import Ksmtuned
from harness.run.stream import Stream
from harness.run.tasks import background
from harness.run.world import World
from harness.spec.loader import load_scenario
from harness.spec.model import KsmTuned
from harness.units import MIB, Bytes, Seconds

FILE = {"KSM_MONITOR_INTERVAL": 2, "KSM_NPAGES_BOOST": 2000, "KSM_NPAGES_MAX": 4000, "KSM_THRES_COEF": 40}
SCENARIO = """\
apiVersion: density/v1
kind: Scenario
metadata: {name: x, title: x}
nodes: [{name: a, memory: 1000Mi}]
host: {ksm: {tuned: {KSM_MONITOR_INTERVAL: 1}}}
fleet: [{name: hog, manifest: {apiVersion: kubevirt.io/v1, kind: VirtualMachineInstance, metadata: {name: x}, spec: {domain: {devices: {}}}}}]
requires: [{survives: {fleet: hog}}]
"""


class Sink:
    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: Record, /) -> int:
        self.records.append(record)
        return len(self.records)


class Stage:
    """A node of 1000 MiB, of which 400 are ksmtuned's threshold, with one guest."""

    def __init__(self) -> None:
        self.world = World()
        self.world.capacity["n1"] = Bytes(1000 * MIB)
        self.world.expect_guest("ns/a", "cafe")
        self.written: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.pauses: list[float] = []
        ksm = Sample(t=Seconds(0.0), at="", source="ksm", data={"run": 1, "pages_to_scan": 100})
        self.world.apply(0, ksm)
        self.tuner = Ksmtuned(
            tuned=KsmTuned(file="fast.conf", values=FILE),
            node="n1",
            world=self.world,
            apply=self.apply,
            present={"run": "0"},
            sleep=self.sleep,
        )
        self.looks: list[tuple[int, int]] = []

    async def apply(self, ksm: Mapping[str, str], /, **told: Any) -> None:
        self.written.append((dict(ksm), told))

    async def sleep(self, pause: Seconds) -> None:
        """Say what is so at the next look, until nothing is left to be said."""
        self.pauses.append(pause)
        if not self.looks:
            raise asyncio.CancelledError
        used, resident = self.looks.pop(0)
        now: dict[str, Any] = {"t": Seconds(2.0 * len(self.pauses)), "at": "", "node": "n1"}
        self.world.apply(1, Sample(**now, source="cgroup", subject="/", data={"workingSet": used * MIB}))
        self.world.apply(2, Sample(**now, source="process", subject="ns/a", data={"rss": resident * MIB}))

    async def see(self, *looks: tuple[int, int]) -> None:
        self.looks = list(looks)
        with pytest.raises(asyncio.CancelledError):
            await self.tuner.run()


async def test_it_starts_under_pressure_boosts_decays_and_stops() -> None:
    stage = Stage()
    await stage.see((300, 350), (700, 750), (700, 750), (500, 750), (300, 350))
    assert stage.pauses == [2.0] * 6
    sleep = "163"
    assert [ksm for ksm, _ in stage.written] == [
        {"pages_to_scan": "2000", "sleep_millisecs": sleep, "run": "1"},
        {"pages_to_scan": "4000"},
        {"pages_to_scan": "3950"},
        {"run": "0"},
    ]
    _, first = stage.written[0]
    assert first == {
        "by": "ksmtuned",
        "file": "fast.conf",
        "why": "committed 750 + threshold 400 >= 1000 MiB, free 300 < 400: boost",
        "from": {"pages_to_scan": "100", "sleep_millisecs": "unknown", "run": "0"},
    }
    assert stage.written[1][1]["from"] == {"pages_to_scan": "2000"}
    assert stage.written[3][1]["why"].endswith("free 700 >= 400: stop")


async def test_what_is_so_already_is_not_written_again() -> None:
    stage = Stage()
    await stage.see((300, 350), (300, 360), (200, 300))
    assert stage.written == []


async def test_nothing_is_set_before_the_node_was_looked_at() -> None:
    stage = Stage()
    await stage.tuner.look(settings(FILE))
    assert stage.written == []


class Machine:
    """A cluster whose KSM can be set, or fails to."""

    kind = "local"

    def __init__(self, world: World, *, fails: bool = False) -> None:
        self.world, self.fails = world, fails
        self.asked: list[HostRequest] = []
        self.told = asyncio.Event()

    async def apply_host(self, request: HostRequest) -> None:
        if self.fails:
            raise ClusterError("KSM pages_to_scan=300 refused: Invalid argument")
        self.asked.append(request)
        self.told.set()


async def begun(tmp_path: Path, machine_fails: bool) -> tuple[Machine, Sink]:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    sink, world = Sink(), World()
    stream = Stream(sink)
    world.capacity["a"] = Bytes(1000 * MIB)
    stream.listen(world.apply)
    machine = Machine(world, fails=machine_fails)
    stream.sample(source="cgroup", node="a", subject="/", data={"workingSet": 990 * MIB})
    handles = (NodeHandle(name="a", kube_name="a", memory=Bytes(1000 * MIB)),)
    async with asyncio.timeout(5), background() as watching:
        ksmtuned.begin(
            load_scenario(path),
            machine,  # type: ignore[arg-type]
            handles,
            stream,
            world=world,
            watching=watching,
        )
        await machine.told.wait()
    return machine, sink


async def test_every_change_is_recorded_before_it_is_made(tmp_path: Path) -> None:
    machine, sink = await begun(tmp_path, machine_fails=False)
    assert machine.asked == [HostRequest(ksm={"pages_to_scan": "300", "sleep_millisecs": "163", "run": "1"})]
    (action,) = [record for record in sink.records if isinstance(record, Action)]
    assert (action.what, action.target, action.args["by"]) == ("configure-host", "host", "ksmtuned")
    assert action.args["ksm"] == {"pages_to_scan": "300", "sleep_millisecs": "163", "run": "1"}
    assert "file" not in action.args


async def test_a_machine_that_refuses_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="KSM could not be tuned: KSM pages_to_scan=300 refused"):
        await begun(tmp_path, machine_fails=True)
