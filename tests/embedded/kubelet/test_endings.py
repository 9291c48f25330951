"""How a guest's end looks from outside: by itself, by panic, by OOM, by deletion, by force."""

import asyncio
from typing import Any

import pytest

from harness.embedded.api.errors import NotFound
from harness.embedded.api.resources import PODS, VMIS
from tests.embedded.fakes import FakeMachine
from tests.embedded.scene import Scene, manifest, mi, scene
from tests.embedded.virtual import run

HARD = {"evictionHard": {"memory.available": "100Mi"}}


async def running(s: Scene, name: str = "vm", **more: Any) -> None:
    await s.cluster.add_node("n", mi(4096), HARD)
    s.create(manifest(name, **more))
    await s.until_phase(name, "Running")


def compute(s: Scene, name: str = "vm") -> dict[str, Any]:
    state: dict[str, Any] = s.pod(name)["status"]["containerStatuses"][0]["state"]
    return state


def test_a_guest_that_powers_off_by_itself_succeeds() -> None:
    async def main() -> None:
        async with scene() as s:
            await running(s)
            s.guest("vm").power_off()
            await asyncio.sleep(1)
            assert s.vmi("vm")["status"]["phase"] == "Succeeded"
            assert s.pod("vm")["status"]["phase"] == "Running"
            await asyncio.sleep(9)
            assert s.pod("vm")["status"]["phase"] == "Succeeded"
            assert compute(s)["terminated"]["reason"] == "Completed"
            assert s.reasons("vm")[-2:] == ["Deleted", "Stopped"]

    run(main)


def test_a_panicked_guest_fails_though_qemu_exited_zero() -> None:
    async def main() -> None:
        async with scene() as s:
            await running(s)
            s.guest("vm").panic()
            await asyncio.sleep(1)
            assert s.vmi("vm")["status"]["phase"] == "Failed"
            stopped = next(e for e in s.events() if e["reason"] == "Stopped")
            assert stopped["message"] == "The VirtualMachineInstance crashed."

    run(main)


@pytest.mark.parametrize(
    ("accounting", "kubelet", "whole"),
    [("v1", {}, False), ("pss", {}, False), ("v2", {}, True), ("v2", {"singleProcessOOMKill": True}, False)],
)
def test_an_oom_kill_takes_the_container_along_only_on_cgroup_v2(
    accounting: Any, kubelet: dict[str, Any], whole: bool
) -> None:
    async def main() -> None:
        async with scene(FakeMachine(accounting=accounting)) as s:
            await s.cluster.add_node("n", mi(4096), HARD | kubelet)
            s.create(manifest("vm"))
            await asyncio.sleep(2)
            s.guest("vm").oom()
            await asyncio.sleep(1)
            if whole:
                assert s.pod("vm")["status"]["phase"] == "Failed"
                assert "reason" not in s.pod("vm")["status"]
                assert compute(s)["terminated"]["exitCode"] == 137
                assert s.vmi("vm")["status"]["phase"] == "Running"
                await asyncio.sleep(40)
            else:
                assert s.pod("vm")["status"]["phase"] == "Running"
                await asyncio.sleep(9)
                assert s.pod("vm")["status"]["phase"] == "Succeeded"
                assert compute(s)["terminated"]["exitCode"] == 0
            assert compute(s)["terminated"]["reason"] == "OOMKilled"
            assert s.vmi("vm")["status"]["phase"] == "Failed"
            assert all(e["reason"] != "SystemOOM" for e in s.events())

    run(main)


def test_only_a_global_oom_is_an_event_of_the_node() -> None:
    async def main() -> None:
        async with scene() as s:
            await running(s)
            s.guest("vm").oom("global")
            await asyncio.sleep(1)
            event = next(e for e in s.events() if e["reason"] == "SystemOOM")
            assert event["message"] == "System OOM encountered, victim process: qemu-system-x86, pid: 1000"

    run(main)


def test_before_v1_10_a_vmi_fails_at_once_when_its_launcher_is_killed() -> None:
    async def main() -> None:
        async with scene(FakeMachine(accounting="v2"), column="v1.9") as s:
            await s.cluster.add_node("n", mi(4096), HARD)
            s.create(manifest("vm"))
            await asyncio.sleep(2)
            s.guest("vm").oom()
            await asyncio.sleep(0.5)
            assert s.vmi("vm")["status"]["phase"] == "Failed"
            assert "SyncFailed" not in s.reasons("vm")

    run(main)


def test_deleting_a_vmi_shuts_the_guest_down_and_takes_everything_away() -> None:
    async def main() -> None:
        async with scene() as s:
            await running(s)
            pod = s.pod("vm")["metadata"]["name"]
            s.store.delete(VMIS, "default", "vm")
            await asyncio.sleep(1)
            assert s.guest("vm").presses
            assert s.vmi("vm")["status"]["phase"] == "Succeeded"
            ready = s.vmi("vm")["status"]["conditions"][0]
            assert (ready["type"], ready["reason"]) == ("Ready", "PodTerminating")
            await asyncio.sleep(10)
            with pytest.raises(NotFound):
                s.vmi("vm")
            with pytest.raises(NotFound):
                s.store.get(PODS, "default", pod)
            assert not s.machine.nodes["n"].pods
            assert not s.cluster.running.pods()

    run(main)


def test_a_pod_deleted_by_force_leaves_no_guest() -> None:
    async def main() -> None:
        async with scene() as s:
            await running(s)
            pod = s.pod("vm")["metadata"]["name"]
            s.store.delete(PODS, "default", pod, grace=0)
            await asyncio.sleep(5)
            assert not s.guest("vm").alive
            assert not s.machine.nodes["n"].pods
            assert s.vmi("vm")["status"]["phase"] == "Failed"

    run(main)


def test_a_vmi_deleted_while_it_starts_leaves_no_guest() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(4096), HARD)
            for step in range(12):
                s.create(manifest(f"vm-{step}"))
                await asyncio.sleep(0.04 * step)
                s.store.delete(VMIS, "default", f"vm-{step}")
            await asyncio.sleep(60)
            assert not s.store.list(VMIS)[0]
            assert not s.store.list(PODS)[0]
            assert not s.machine.nodes["n"].pods
            assert all(not guest.alive for guest in s.machine.guests.values())

    run(main)


def test_a_machine_that_cannot_start_qemu_fails_the_vmi_with_the_reason() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(4096), HARD)
            s.machine.broken = "no guest kernel: pass --guest-kernel"
            s.create(manifest("vm"))
            await asyncio.sleep(3)
            assert s.vmi("vm")["status"]["phase"] == "Failed"
            event = next(e for e in s.events() if e["reason"] == "SyncFailed")
            assert event["message"] == (
                "server error. command SyncVMI failed: no guest kernel: pass --guest-kernel"
            )
            assert s.pod("vm")["status"]["phase"] == "Failed"

    run(main)


def test_a_pod_that_no_longer_fits_is_refused() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), HARD)
            s.create(manifest("vm", request="400Mi"))
            await asyncio.sleep(2)
            pod = s.store.list(PODS)[0][0]
            twin = {
                "metadata": {
                    "name": "twin",
                    "namespace": "default",
                    "annotations": {"kubevirt.io/domain": "t"},
                },
                "spec": {**pod["spec"], "nodeName": "n"},
                "status": {"phase": "Pending", "qosClass": "Burstable"},
            }
            for index in range(2):
                twin["metadata"]["name"] = f"twin-{index}"
                s.store.create(PODS, twin)
                await asyncio.sleep(2)
            refused = s.store.get(PODS, "default", "twin-1")["status"]
            assert (refused["phase"], refused["reason"]) == ("Failed", "OutOfmemory")
            # 400Mi + 35M each; allocatable 1024Mi - 100Mi.
            assert refused["message"] == (
                "Node didn't have enough resource: memory, requested: 454430400, used: 908860800, "
                "capacity: 968884224"
            )
            assert all(c["type"] != "DisruptionTarget" for c in refused["conditions"])

    run(main)


def test_a_pod_without_virt_launcher_is_refused() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node("n", mi(1024), HARD)
            pod = {
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {"containers": [{"name": "web", "image": "web"}]},
                "status": {"phase": "Pending", "qosClass": "BestEffort"},
            }
            s.store.create(PODS, pod)
            await asyncio.sleep(1)
            status = s.store.get(PODS, "default", "web")["status"]
            assert (status["phase"], status["reason"]) == ("Failed", "NotSupported")
            assert "virt-launcher pods only" in status["message"]

    run(main)


def test_deleting_a_deaf_evicted_vmi_ends_the_wait_for_its_launcher() -> None:
    async def main() -> None:
        async with scene() as s:
            await running(s, annotations={"density.dev/deaf": "1"})
            s.guest("vm").resident = mi(4050)
            await asyncio.sleep(13)
            assert s.pod("vm")["status"]["reason"] == "Evicted"
            assert s.vmi("vm")["status"]["phase"] == "Running"
            s.store.delete(VMIS, "default", "vm")
            await asyncio.sleep(0.1)
            assert not s.store.list(VMIS)[0]
            before = len(s.events())
            await asyncio.sleep(60)
            assert [e["reason"] for e in s.events()[before:] if e["reason"] == "SyncFailed"] == []

    run(main)


@pytest.mark.parametrize(
    ("column", "names"),
    [
        ("v1.7", ["guest-console-log", "container-disk-binary", "volumedisk-init", "compute", "volumedisk"]),
        ("main", ["guest-console-log", "volumedisk", "compute"]),
    ],
)
def test_container_disks_live_and_end_with_the_pod(column: str, names: list[str]) -> None:
    async def main() -> None:
        async with scene(column=column) as s:
            disk = {"name": "disk", "containerDisk": {"image": "disk:1"}}
            vmi = manifest("vm", spec={"volumes": [disk]})
            vmi["spec"]["domain"]["devices"]["disks"] = [{"name": "disk", "disk": {"bus": "virtio"}}]
            await s.cluster.add_node("n", mi(4096), HARD)
            s.create(vmi)
            await s.until_phase("vm", "Running")
            status = s.pod("vm")["status"]
            statuses = [*status["initContainerStatuses"], *status["containerStatuses"]]
            assert [c["name"] for c in statuses] == names
            assert all(c["ready"] for c in statuses)
            s.guest("vm").power_off()
            await asyncio.sleep(10)
            status = s.pod("vm")["status"]
            assert status["phase"] == "Succeeded"
            statuses = [*status["initContainerStatuses"], *status["containerStatuses"]]
            assert {c["state"]["terminated"]["exitCode"] for c in statuses} == {0}

    run(main)
