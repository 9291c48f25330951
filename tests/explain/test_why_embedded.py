"""`why` on our own cluster, in virtual time: what its kubelet and controllers serve is understood like a real one's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from harness.embedded.api.resources import EVENTS, NODES, PODS, VMIS, VMS
from harness.explain.why import why
from harness.explain.why_model import Report
from harness.records.model import Guest, Kernel, Provenance, Record, Sample, Watch
from harness.units import Seconds
from tests.embedded.fakes import FakeMachine
from tests.embedded.scene import Scene, manifest, mi, scene
from tests.embedded.virtual import run

EPOCH = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC).timestamp()
HARD: dict[str, Any] = {"evictionHard": {"memory.available": "300Mi"}}
SOFT: dict[str, Any] = {
    "evictionHard": {"memory.available": "100Mi"},
    "evictionSoft": {"memory.available": "300Mi"},
    "evictionSoftGracePeriod": {"memory.available": "12s"},
}


class Recorder:
    """What an orchestrator would have recorded of a scene."""

    def __init__(self, s: Scene) -> None:
        self.scene, self.records = s, list[Record]()
        self.begun = asyncio.get_running_loop().time()

    def _common(self) -> dict[str, Any]:
        t = asyncio.get_running_loop().time() - self.begun
        return {"t": Seconds(t), "at": datetime.fromtimestamp(EPOCH + t, UTC).isoformat()}

    async def watch(self) -> None:
        async with self.scene.store.subscribe(PODS, VMIS, EVENTS, NODES, VMS) as changes:
            async for change in changes:
                obj = {"kind": change.resource.kind, **change.object}
                self.records.append(Watch(**self._common(), type=change.type, object=obj))

    async def sample(self, node: str) -> None:
        config = self.scene.cluster.running.configz(node)
        self.records.append(Sample(**self._common(), source="configz", node=node, data=dict(config)))
        while True:
            summary = self.scene.cluster.running.stats_summary(node)
            self.records.append(
                Sample(**self._common(), source="stats/summary", node=node, data=dict(summary))
            )
            memory = self.scene.machine.nodes[node].memory()
            data = {"usage": memory.usage, "workingSet": memory.working_set}
            self.records.append(Sample(**self._common(), source="cgroup", node=node, subject="/", data=data))
            await asyncio.sleep(0.5)

    async def listen(self, name: str) -> None:
        rest = b""
        async for chunk in self.scene.guest(name).console.read(from_start=True):
            *lines, rest = (rest + chunk).split(b"\r\n")
            self.records += [
                Guest(**self._common(), vmi=f"default/{name}", line=line.decode()) for line in lines
            ]

    def kernel(self, scope: str, name: str) -> None:
        pid = self.scene.guest(name).pid
        self.records.append(
            Kernel(**self._common(), source="kmsg", scope=scope, vmi=f"default/{name}", pid=pid)
        )


Story = Callable[[Scene, Recorder], Awaitable[None]]


def recorded(
    story: Story, *, kubelet: dict[str, Any] = HARD, deaf: bool = False, accounting: Any = "v1"
) -> Report:
    async def main() -> list[Record]:
        async with scene(FakeMachine(accounting=accounting), epoch=Seconds(EPOCH)) as s:
            recorder = Recorder(s)
            tasks = [asyncio.create_task(recorder.watch())]
            await s.cluster.add_node("n", mi(2048), kubelet)
            tasks.append(asyncio.create_task(recorder.sample("n")))
            s.create(manifest("vm", guest="2Gi", annotations={"density.dev/deaf": str(int(deaf))}))
            s.create(manifest("other", guest="1Gi", request="900Mi"))
            await s.until_phase("vm", "Running")
            await s.until_phase("other", "Running")
            tasks += [asyncio.create_task(recorder.listen(name)) for name in ("vm", "other")]
            await asyncio.sleep(25)
            await story(s, recorder)
            for task in tasks:
                task.cancel()
            return recorder.records

    records = run(main)
    started = datetime.fromtimestamp(EPOCH, UTC).isoformat()
    provenance = Provenance(
        schema=1, run="r", scenario={}, cluster="local", evidence="kernel", started=started
    )
    return why(provenance, list(enumerate(records, start=1)))


async def fill(s: Scene, _: Recorder) -> None:
    s.guest("vm").resident = mi(1800)
    await asyncio.sleep(30)


async def fill_long(s: Scene, recorder: Recorder) -> None:
    await fill(s, recorder)
    await asyncio.sleep(60)


async def power_off(s: Scene, _: Recorder) -> None:
    s.guest("vm").screen.say("@ bye up=9000 held=0 reason=command")
    s.guest("vm").power_off()
    await asyncio.sleep(20)


async def panic(s: Scene, _: Recorder) -> None:
    s.guest("vm").panic()
    await asyncio.sleep(20)


async def delete(s: Scene, _: Recorder) -> None:
    s.store.delete(VMIS, "default", "vm")
    await asyncio.sleep(40)


async def oom(s: Scene, recorder: Recorder) -> None:
    s.guest("vm").oom()
    recorder.kernel("container", "vm")
    await asyncio.sleep(20)


async def oom_unrecorded(s: Scene, _: Recorder) -> None:
    s.guest("vm").oom("global")
    await asyncio.sleep(20)


async def qemu_killed(s: Scene, _: Recorder) -> None:
    s.guest("vm").kill()
    await asyncio.sleep(60)


@pytest.mark.parametrize(
    ("story", "options", "cause", "manner"),
    [
        (fill, {}, "hard-eviction", "clean"),
        (fill_long, {"deaf": True}, "hard-eviction", "deaf"),
        (fill_long, {"deaf": True, "accounting": "v2"}, "hard-eviction", "deaf"),
        (fill, {"kubelet": SOFT}, "soft-eviction", "clean"),
        (fill_long, {"kubelet": SOFT, "deaf": True}, "soft-eviction", "deaf"),
        (
            fill_long,
            {"kubelet": SOFT | {"evictionMaxPodGracePeriod": 15}, "deaf": True},
            "soft-eviction",
            "deaf",
        ),
        (power_off, {}, "guest-shutdown", None),
        (panic, {}, "guest-oom", None),
        (delete, {}, "api-delete", "clean"),
        (delete, {"deaf": True}, "api-delete", "deaf"),
        (oom, {}, "container-oom", None),
        (oom, {"accounting": "v2"}, "container-oom", None),
        (oom_unrecorded, {}, "node-oom", None),
        (qemu_killed, {}, "crashed", None),
    ],
)
def test_the_cause_and_the_guests_manner(
    story: Story, options: dict[str, Any], cause: str, manner: str | None
) -> None:
    report = recorded(story, **options)
    (post,) = report.dead
    assert (post.subject, post.cause) == ("default/vm", cause)
    assert (None if post.reaction is None else post.reaction.kind) == manner
    assert [alive.subject for alive in report.alive] == ["default/other"]


def test_the_ranking_has_the_figures_our_kubelet_served() -> None:
    (post,) = recorded(fill).dead
    assert post.ranking is not None
    assert [row.subject for row in post.ranking.rows] == ["vm", "other"]
    assert post.ranking.first
    assert post.acted is not None
    assert post.acted.signal == "memory.available"
    assert post.acted.crossing is not None
    assert post.window is not None
    assert post.window.high < 1.0


def test_a_soft_cap_gives_the_grace_the_rules_say() -> None:
    (post,) = recorded(fill_long, kubelet=SOFT | {"evictionMaxPodGracePeriod": 15}, deaf=True).dead
    assert post.acted is not None
    assert (post.acted.grace, post.acted.cap) == (15.0, 15)
    assert post.window is not None
    assert 5.0 < post.window.low < 15.0 < post.window.high < 15.5


def test_nobody_dies() -> None:
    async def idle(_: Scene, __: Recorder) -> None:
        await asyncio.sleep(15)

    report = recorded(idle)
    assert report.dead == ()
    assert report.closest[0].text.endswith(
        "above the hard threshold of 300Mi; vm would have been the first to go"
    )
