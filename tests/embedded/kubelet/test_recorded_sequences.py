"""Our pods, VMIs, nodes and events change as those of a real kind cluster did, step by step."""

import asyncio
import json
from typing import Any

from harness.units import Bytes
from tests.embedded.recorded import Story, tell, watched
from tests.embedded.scene import Scene, mi, scene
from tests.embedded.virtual import run

NODE = "node"


def sent(recording: str, vmi: str) -> dict[str, Any]:
    """The manifest as kubectl sent it, on our node."""
    for _, obj in watched(recording, since=0.3):
        if obj["kind"] == "VirtualMachineInstance" and obj["metadata"]["name"] == vmi:
            text = obj["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
            manifest: dict[str, Any] = json.loads(text)
            manifest["spec"].pop("nodeSelector", None)
            return manifest
    raise AssertionError(f"{vmi} is not in {recording}")


def like_a_hog(name: str) -> dict[str, Any]:
    """The first two recordings' VMIs were not sent by kubectl apply; theirs were like this one."""
    manifest = sent("kind-1.36-kubevirt-hard-eviction-deaf", "hog-1")
    manifest["metadata"]["name"] = name
    return manifest


def settled(story: Story) -> Story:
    """What differed between real runs is made alike.

    A killed compute container was `Error` (3 of 5) or had been lost, `ContainerStatusUnknown` (2 of 5).
    Killing events are missing where the recorder's spam filter had been used up by Pulled (3 of 5).
    """
    for lost in ("compute:waiting/PodInitializing", "compute:terminated/ContainerStatusUnknown/137"):
        story.pod = [
            text.replace(lost, "compute:terminated/Error/137") if text.startswith("Failed") else text
            for text in story.pod
        ]
    story.pod_events = [text for text in story.pod_events if "Killing" not in text]
    return story


async def evicted(
    s: Scene, manifest: dict[str, Any], *, kubelet: dict[str, Any], deaf: bool, seconds: float
) -> None:
    await s.cluster.add_node(NODE, mi(2048), kubelet)
    manifest["metadata"].setdefault("annotations", {})["density.dev/deaf"] = str(int(deaf))
    s.create(manifest)
    await asyncio.sleep(12)
    s.guest(manifest["metadata"]["name"]).resident = mi(1800)
    await asyncio.sleep(seconds)


HARD = {"evictionHard": {"memory.available": "300Mi"}, "evictionPressureTransitionPeriod": "20s"}


def test_hard_eviction_of_a_deaf_guest() -> None:
    recording = "kind-1.36-kubevirt-hard-eviction-deaf"
    theirs = settled(tell(watched(recording, since=0.9), "hog-1", node="real-worker"))

    async def main() -> Story:
        async with scene() as s:
            # The recording ends 38.9 s after the eviction, with the VMI still Running.
            await evicted(s, sent(recording, "hog-1"), kubelet=HARD, deaf=True, seconds=43)
            return settled(tell(s.changes, "hog-1", node=NODE))

    ours = run(main)
    assert ours.vmi == theirs.vmi
    assert ours.pod == theirs.pod
    assert ours.vmi_events == theirs.vmi_events
    assert ours.pod_events == theirs.pod_events
    assert ours.node == theirs.node


def test_a_deaf_guests_vmi_stays_running_until_its_launcher_counts_as_dead() -> None:
    recording = "kind-1.36-kubevirt-deaf-vmi-stays-running"
    theirs = settled(tell(watched(recording, since=30), "hog-1", node="real-worker"))

    async def main() -> Story:
        async with scene() as s:
            await evicted(s, sent(recording, "hog-1"), kubelet=HARD, deaf=True, seconds=3)
            s.changes.clear()
            await asyncio.sleep(60)
            return settled(tell(s.changes, "hog-1", node=NODE))

    ours = run(main)
    assert ours.vmi == theirs.vmi
    assert ours.vmi[-1].startswith("Failed")
    assert (
        ours.vmi_events
        == theirs.vmi_events
        == [
            "Normal ShuttingDown",
            "Warning SyncFailed",
            "Warning Stopped",
        ]
    )


def test_hard_eviction_of_a_listening_guest() -> None:
    recording = "kind-1.36-kubevirt-hard-eviction"
    theirs = tell(watched(recording, since=6), "hog-1", node="den-worker")

    async def main() -> Story:
        async with scene() as s:
            await evicted(s, like_a_hog("hog-1"), kubelet=HARD, deaf=False, seconds=0)
            s.changes.clear()
            await asyncio.sleep(60)
            return tell(s.changes, "hog-1", node=NODE)

    ours = run(main)
    assert ours.vmi == theirs.vmi
    assert ours.pod == theirs.pod
    assert ours.vmi_events == theirs.vmi_events
    assert ours.pod_events == theirs.pod_events
    assert ours.node == theirs.node[1:]


def test_soft_eviction_of_a_listening_guest_succeeds_without_a_reason() -> None:
    recording = "kind-1.36-kubevirt-soft-eviction"
    theirs = tell(watched(recording, since=20, until=60), "hog-2", node="den-worker")
    kubelet = {
        "evictionHard": {"memory.available": "100Mi"},
        "evictionSoft": {"memory.available": "400Mi"},
        "evictionSoftGracePeriod": {"memory.available": "15s"},
        "evictionMaxPodGracePeriod": 30,
        "evictionPressureTransitionPeriod": "20s",
    }

    async def main() -> Story:
        async with scene() as s:
            await evicted(s, like_a_hog("hog-2"), kubelet=kubelet, deaf=False, seconds=22)
            assert s.reasons("hog-2")[-1] != "Evicted"
            s.changes.clear()
            await asyncio.sleep(30)
            return tell(s.changes, "hog-2", node=NODE)

    ours = run(main)
    assert ours.vmi == theirs.vmi
    assert ours.pod == theirs.pod
    assert ours.pod[-1].startswith("Succeeded None DisruptionTarget=True")
    assert ours.vmi_events == theirs.vmi_events
    assert ours.pod_events == theirs.pod_events


def test_soft_eviction_without_a_cap_cuts_a_deaf_guest_like_a_hard_one() -> None:
    recording = "kind-1.36-kubevirt-soft-eviction-default-cap"
    theirs = settled(tell(watched(recording, since=45, until=62), "hog-1", node="real-worker"))
    kubelet = {
        "evictionHard": {"memory.available": "100Mi"},
        "evictionSoft": {"memory.available": "400Mi"},
        "evictionSoftGracePeriod": {"memory.available": "10s"},
        "evictionPressureTransitionPeriod": "20s",
    }

    async def main() -> Story:
        async with scene() as s:
            await evicted(s, like_a_hog("hog-1"), kubelet=kubelet, deaf=True, seconds=15)
            assert s.reasons("hog-1")[-1] != "Evicted"
            s.changes.clear()
            await asyncio.sleep(30)
            return settled(tell(s.changes, "hog-1", node=NODE))

    ours = run(main)
    assert ours.vmi == theirs.vmi
    assert ours.pod == theirs.pod
    assert ours.vmi_events == theirs.vmi_events
    assert ours.pod_events == theirs.pod_events


def test_container_oom_on_cgroup_v1_kills_qemu_alone() -> None:
    recording = "kind-1.36-kubevirt-container-oom"
    theirs = tell(watched(recording, since=0.8), "oom-1", node="real-worker")

    async def main() -> tuple[Story, Story]:
        async with scene() as s:
            await s.cluster.add_node(NODE, mi(2048), HARD)
            s.create(sent(recording, "oom-1"))
            await asyncio.sleep(12)
            s.guest("oom-1").oom()
            await asyncio.sleep(8)  # the recording ends 8 s after the kill, with the pod still Running
            early = tell(s.changes, "oom-1", node=NODE)
            await asyncio.sleep(5)
            return early, tell(s.changes, "oom-1", node=NODE)

    ours, later = run(main)
    assert ours.vmi == theirs.vmi
    assert ours.pod == theirs.pod
    assert ours.vmi_events == theirs.vmi_events
    assert ours.pod_events == theirs.pod_events
    # Seen once, not recorded: exit code 0 with reason OOMKilled, pod Succeeded (tests/recordings/README.md).
    assert later.pod[-1].startswith("Succeeded None")
    assert later.pod[-1].endswith("compute:terminated/OOMKilled/0")


def test_the_evicted_event_is_worded_as_recorded() -> None:
    recording = "kind-1.36-kubevirt-hard-eviction-deaf"
    theirs = next(obj for _, obj in watched(recording, since=60) if obj.get("reason") == "Evicted")

    async def main() -> dict[str, Any]:
        async with scene() as s:
            await s.cluster.add_node(NODE, mi(2048), HARD)
            s.create(sent(recording, "hog-1"))
            await asyncio.sleep(2)
            s.guest("hog-1").resident = Bytes(746292 * 1024)
            await asyncio.sleep(38)
            s.machine.nodes[NODE].daemons = Bytes((2048 * 1024 - 746292 - 195052) * 1024)
            await asyncio.sleep(11)
            return next(e for e in s.events() if e["reason"] == "Evicted")

    ours = run(main)
    assert ours["message"] == theirs["message"]
    assert ours["metadata"]["annotations"] == theirs["metadata"]["annotations"]
    assert ours["type"] == theirs["type"] == "Warning"
    assert set(ours) == set(theirs)
    assert ours["source"]["component"] == theirs["source"]["component"] == "kubelet"
