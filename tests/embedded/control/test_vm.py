"""A VirtualMachine keeps its VMI as its run strategy says; its changes are those of a real kind cluster."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest

from harness.embedded.api import lifecycle
from harness.embedded.api.errors import ApiError, Conflict, NotFound
from harness.embedded.api.objects import Object
from harness.embedded.api.resources import NAMESPACES, PODS, VMIS, VMS
from harness.embedded.control.vm_status import backoff
from tests.embedded.recorded import tell, tell_vm, watched
from tests.embedded.scene import Scene, manifest, mi, scene
from tests.embedded.virtual import run

RECORDING = "kind-1.36-kubevirt-vm-always-evicted"
NODE = "node"
HARD = {"evictionHard": {"memory.available": "300Mi"}, "evictionPressureTransitionPeriod": "30s"}


def vm_manifest(name: str, strategy: str | None = "Always", **more: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "template": {"metadata": {"labels": {"app": "x"}}, "spec": manifest(name)["spec"]},
        **({"runStrategy": strategy} if strategy else {}),
        **more,
    }
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def admitted(s: Scene, vm: Mapping[str, Any]) -> Any:
    prepared = s.store.prepared(VMS, vm)
    prepared["apiVersion"] = vm["apiVersion"]
    return s.cluster.admission(VMS, "CREATE", prepared, None, strict=True)


def create(s: Scene, vm: Mapping[str, Any]) -> Object:
    return s.store.create(VMS, admitted(s, vm).obj)


async def running(s: Scene, vm: Mapping[str, Any]) -> None:
    await s.cluster.add_node(NODE, mi(4096))
    create(s, vm)
    await asyncio.sleep(12)


def shown(s: Scene, name: str = "a") -> str:
    return str(s.store.get(VMS, "default", name)["status"]["printableStatus"])


def uid(s: Scene, name: str = "a") -> str:
    try:
        return str(s.vmi(name)["metadata"]["uid"])
    except NotFound:
        return ""


def act(s: Scene, verb: str, **options: Any) -> None:
    lifecycle.act(s.store, "default", "a", verb, options)


def without_races(story: list[str]) -> list[str]:
    """Leave out two steps that two controllers race for, there as here, in some 20 ms.

    Whether the ended VMI is first seen not running or being deleted, and whether the successor's pod is first seen
    created or refused by the scheduler.
    """
    kept = [
        line
        for line in story
        if not (("Succeeded" in line or "Stopped" in line) and "Ready=False/GuestNotRunning" in line)
    ]
    return [
        line
        for line, after in zip(kept, [*kept[1:], ""], strict=True)
        if not (after.startswith(line) and after.endswith("PodScheduled=False/Unschedulable"))
    ]


def test_an_evicted_vm_comes_back_as_recorded() -> None:
    theirs = list(watched(RECORDING, since=0.5))
    sent = next(o for _, o in theirs if o["kind"] == "VirtualMachine")

    async def main() -> tuple[list[tuple[str, Object]], list[str]]:
        async with scene() as s:
            await s.cluster.add_node(NODE, mi(2048), HARD)
            template = {"spec": {**sent["spec"]["template"]["spec"]}}
            template["spec"].pop("nodeSelector")
            create(s, vm_manifest("vm-a", template=template))
            await asyncio.sleep(14)
            s.guest("vm-a").resident = mi(1800)
            await asyncio.sleep(75)
            return s.changes, [p["spec"].get("nodeName", "") for p in s.store.list(PODS)[0]]

    changes, nodes = run(main)
    assert without_races(tell_vm(changes, "vm-a")) == without_races(tell_vm(theirs, "vm-a"))
    ours, recorded = tell(changes, "vm-a", node=NODE), tell(theirs, "vm-a", node="real-worker")
    assert without_races(ours.vmi) == without_races(recorded.vmi)
    assert ours.pod == recorded.pod
    assert ours.vmi_events == recorded.vmi_events
    assert [e for e in ours.pod_events if "Killing" not in e] == recorded.pod_events
    assert ours.node[1:] == recorded.node
    assert nodes == [NODE]


def test_its_vmi_is_made_of_the_template_and_owned() -> None:
    async def main() -> tuple[Object, Object]:
        async with scene() as s:
            await running(s, vm_manifest("a"))
            return s.store.get(VMS, "default", "a"), s.vmi("a")

    vm, vmi = run(main)
    assert vmi["metadata"]["labels"] == {"app": "x", "kubevirt.io/nodeName": NODE}
    (owner,) = vmi["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("VirtualMachine", "a", vm["metadata"]["uid"])
    assert vmi["metadata"]["annotations"]["kubevirt.io/vm-generation"] == "1"
    assert vmi["status"]["virtualMachineRevisionName"] == f"revision-start-vm-{vm['metadata']['uid']}-1"
    firmware = vm["spec"]["template"]["spec"]["domain"]["firmware"]
    assert vmi["spec"]["domain"]["firmware"] == firmware
    assert len(firmware["uuid"]) == len(firmware["serial"]) == 36
    assert vm["status"]["ready"] is True
    assert vm["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("strategy", "clean", "again", "status"),
    [
        ("Always", True, True, "Running"),
        ("Always", False, True, "Running"),
        ("RerunOnFailure", False, True, "Running"),
        ("RerunOnFailure", True, False, "Stopped"),
        ("Manual", False, False, "Stopped"),
        ("Once", False, False, "Stopped"),
    ],
)
def test_what_follows_the_end_of_a_guest(strategy: str, clean: bool, again: bool, status: str) -> None:
    async def main() -> tuple[bool, str]:
        async with scene() as s:
            await running(s, vm_manifest("a", strategy))
            if strategy == "Manual":
                act(s, "start")
                await asyncio.sleep(12)
            first = uid(s)
            assert first
            assert shown(s) == "Running"
            guest = s.guest("a")
            if clean:
                guest.power_off()
            else:
                guest.kill()
            await asyncio.sleep(60)
            return uid(s) not in {"", first}, shown(s)

    assert run(main) == (again, status)


def test_a_halted_vm_has_no_vmi_until_it_is_started() -> None:
    async def main() -> None:
        async with scene() as s:
            await running(s, vm_manifest("a", "Halted"))
            assert (uid(s), shown(s)) == ("", "Stopped")
            with pytest.raises(Conflict, match="VM is not running"):
                act(s, "stop")
            act(s, "start")
            await asyncio.sleep(12)
            assert shown(s) == "Running"
            assert s.store.get(VMS, "default", "a")["spec"]["runStrategy"] == "Always"
            with pytest.raises(Conflict, match="VM is already running"):
                act(s, "start")
            act(s, "stop")
            await asyncio.sleep(30)
            assert any("printableStatus=Stopping" in line for line in tell_vm(s.changes, "a"))
            assert (uid(s), shown(s), s.store.list(PODS)[0]) == ("", "Stopped", [])

    run(main)


def test_running_true_is_always() -> None:
    async def main() -> None:
        async with scene() as s:
            await s.cluster.add_node(NODE, mi(4096))
            given = admitted(s, vm_manifest("a", None, running=True))
            assert given.warnings == ("spec.running is deprecated, please use spec.runStrategy instead.",)
            s.store.create(VMS, given.obj)
            await asyncio.sleep(12)
            assert s.store.get(VMS, "default", "a")["status"]["runStrategy"] == "Always"
            act(s, "stop")
            await asyncio.sleep(30)
            assert s.store.get(VMS, "default", "a")["spec"]["running"] is False
            assert uid(s) == ""

    run(main)


@pytest.mark.parametrize("strategy", ["Always", "Manual", "RerunOnFailure"])
def test_a_restart_makes_another_vmi(strategy: str) -> None:
    async def main() -> None:
        async with scene() as s:
            await running(s, vm_manifest("a", strategy))
            if strategy == "Manual":
                act(s, "start")
                await asyncio.sleep(12)
            first = uid(s)
            act(s, "restart", dryRun=["All"])
            assert "stateChangeRequests" not in s.store.get(VMS, "default", "a")["status"]
            act(s, "restart")
            await asyncio.sleep(40)
            assert uid(s) not in {"", first}
            assert shown(s) == "Running"
            assert "stateChangeRequests" not in s.store.get(VMS, "default", "a")["status"]

    run(main)


def test_a_vmi_that_never_ran_is_tried_again_later_and_later() -> None:
    async def main() -> None:
        async with scene() as s:
            s.machine.broken = "no QEMU"
            await running(s, vm_manifest("a"))
            vm = s.store.get(VMS, "default", "a")
            assert vm["status"]["startFailure"]["consecutiveFailCount"] == 1
            await asyncio.sleep(5)
            assert shown(s) == "CrashLoopBackOff"
            await asyncio.sleep(30)
            assert s.store.get(VMS, "default", "a")["status"]["startFailure"]["consecutiveFailCount"] == 2
            s.machine.broken = ""
            await asyncio.sleep(80)
            assert shown(s) == "Running"
            assert "startFailure" not in s.store.get(VMS, "default", "a")["status"]

    run(main)


@pytest.mark.parametrize(("failures", "low", "high"), [(1, 10, 15), (2, 40, 60), (3, 90, 135), (9, 300, 300)])
def test_the_back_off_grows_with_the_square(failures: int, low: float, high: float) -> None:
    drawn = [backoff(failures, random.Random(seed)) for seed in range(200)]
    assert low <= min(drawn) <= max(drawn) <= high
    assert max(drawn) - min(drawn) >= (high - low) * 0.8


def test_an_evicted_vm_waits_for_the_taint_unless_it_tolerates_it() -> None:
    key = "node.kubernetes.io/memory-pressure"

    async def main(tolerates: bool) -> float:
        async with scene() as s:
            await s.cluster.add_node(NODE, mi(2048), HARD)
            vm = vm_manifest("a")
            if tolerates:
                vm["spec"]["template"]["spec"]["tolerations"] = [{"key": key, "operator": "Exists"}]
            create(s, vm)
            await asyncio.sleep(12)
            first = uid(s)
            s.guest("a").resident = mi(1800)
            begin = asyncio.get_running_loop().time()
            for _ in range(200):
                if uid(s) not in {"", first} and s.pod("a")["spec"].get("nodeName"):
                    break
                await asyncio.sleep(0.5)
            return asyncio.get_running_loop().time() - begin

    assert run(lambda: main(False)) > 30
    # A pod that tolerates the taint is scheduled at once, to a node that then refuses or takes it.
    assert run(lambda: main(True)) < 20


def test_deleting_a_vm_shuts_its_guest_down() -> None:
    async def main() -> None:
        async with scene() as s:
            await running(s, vm_manifest("a"))
            guest = s.guest("a")
            s.store.delete(VMS, "default", "a")
            await asyncio.sleep(1)
            assert shown(s) == "Terminating"
            await asyncio.sleep(30)
            assert guest.presses
            assert [s.store.list(kind)[0] for kind in (VMS, VMIS, PODS)] == [[], [], []]

    run(main)


def test_a_namespace_goes_with_its_vms() -> None:
    async def main() -> None:
        async with scene() as s:
            await running(s, vm_manifest("a"))
            s.store.delete(NAMESPACES, "", "default")
            await asyncio.sleep(60)
            assert [s.store.list(kind)[0] for kind in (VMS, VMIS, PODS)] == [[], [], []]
            assert all(n["metadata"]["name"] != "default" for n in s.store.list(NAMESPACES)[0])

    run(main)


def test_a_vm_that_cannot_start_says_why() -> None:
    async def main() -> Object:
        async with scene() as s:
            await running(s, vm_manifest("a", instancetype={"name": "u1.small"}))
            return s.store.get(VMS, "default", "a")

    vm = run(main)
    (failure,) = [c for c in vm["status"]["conditions"] if c["type"] == "Failure"]
    assert failure["message"] == (
        "failure while starting VMI: "
        'virtualmachineclusterinstancetypes.instancetype.kubevirt.io "u1.small" not found'
    )


@pytest.mark.parametrize(
    ("change", "text", "field"),
    [
        ({"runStrategy": None}, "RunStrategy must be specified", "spec.running"),
        ({"runStrategy": "Sometimes"}, "Invalid RunStrategy (Sometimes)", "spec.runStrategy"),
        ({"running": True}, "Running and RunStrategy are mutually exclusive", "spec.running"),
        # Its gate is Beta: on from v1.9.
        ({"runStrategy": "WaitAsReceiver"}, "DecentralizedLiveMigration feature gate", "spec.runStrategy"),
    ],
)
def test_admission_of_run_strategies(change: dict[str, Any], text: str, field: str) -> None:
    async def main() -> dict[str, Any]:
        async with scene(column="v1.8") as s:
            vm = vm_manifest("a")
            vm["spec"] = {k: v for k, v in {**vm["spec"], **change}.items() if v is not None}
            with pytest.raises(ApiError) as refused:
                admitted(s, vm)
            return refused.value.status

    status = run(main)
    assert status["message"].startswith(
        'admission webhook "virtualmachine-validator.kubevirt.io" denied the request: '
    )
    assert text in status["message"]
    assert status["details"]["causes"][0]["field"] == field


def test_admission_looks_into_the_template() -> None:
    async def main() -> list[dict[str, Any]]:
        async with scene() as s:
            found = []
            for template in (
                {
                    "spec": {
                        "domain": {
                            "devices": {},
                            "resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}},
                        }
                    }
                },
                {"spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}, "cpu": {"cores": "two"}}}},
                None,
            ):
                vm = vm_manifest("a", template=template)
                vm["spec"] = {k: v for k, v in vm["spec"].items() if v is not None}
                with pytest.raises(ApiError) as refused:
                    admitted(s, vm)
                found.append(refused.value.status)
            return found

    nothing, mistyped, missing = run(main)
    assert nothing["details"]["causes"][0]["field"].startswith("spec.template.spec.domain")
    assert (
        'spec.template.spec.domain.cpu.cores in body must be of type integer: "string"' in mistyped["message"]
    )
    assert "spec.template in body is required" in missing["message"]
