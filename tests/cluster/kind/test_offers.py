"""After a kubelet's restart a node is used only when it offers VMIs what it offered before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from harness.cluster.base import NodeRequest
from harness.cluster.errors import ClusterError
from harness.cluster.kind.allowance import requested
from harness.cluster.kind.node import Offer
from harness.cluster.kind.source import KindCluster
from harness.embedded.api.resources import NODES, PODS
from harness.kube.connection import connect
from harness.kube.objects import Objects
from harness.units import GIB, MIB, Bytes
from tests.cluster.kind.world import Scene


def node(reported: str = "10:00:00", schedulable: str = "true", **devices: str) -> dict[str, Any]:
    """As a real worker without KVM tells it (tests/recordings): devices are there, and there are 0 of them."""
    return {
        "metadata": {"name": "w", "labels": {"kubevirt.io/schedulable": schedulable}},
        "status": {
            "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": reported}],
            "allocatable": {
                "memory": "1748Mi",
                "devices.kubevirt.io/sev": "0",
                **{f"devices.kubevirt.io/{name}": amount for name, amount in devices.items()},
            },
        },
    }


def test_devices_must_be_there_again_and_told_by_the_new_kubelet() -> None:
    before = Offer.of(node(kvm="1k", tun="1k"))
    assert before.devices == {"devices.kubevirt.io/kvm", "devices.kubevirt.io/tun"}
    assert before.lacks(before) == "its kubelet has reported nothing since"
    later = "10:00:09"
    assert Offer.of(node(later, kvm="0", tun="0")).lacks(before) == (
        "no devices.kubevirt.io/kvm, devices.kubevirt.io/tun (--kubevirt-emulation yes does without)"
    )
    assert Offer.of(node(later, kvm="1k")).lacks(before) == "no devices.kubevirt.io/tun"
    assert Offer.of(node(later, "false", kvm="1k", tun="1k")).lacks(before) == (
        "label kubevirt.io/schedulable is not true"
    )
    assert Offer.of(node(later, kvm="110", tun="1k")).lacks(before) == ""


def test_a_node_that_never_had_any_lacks_none() -> None:
    before = Offer.of(node(kvm="0"))
    assert Offer.of(node("10:00:09", "true", kvm="0")).lacks(before) == ""
    assert Offer.of(node("10:00:09", kvm="0")).lacks(before, ["devices.kubevirt.io/kvm"]) == (
        "no devices.kubevirt.io/kvm (--kubevirt-emulation yes does without)"
    )
    # KubeVirt has only just come up
    nothing = Offer.of({"metadata": {"name": "w"}})
    assert Offer.of({"metadata": {"name": "w"}}).lacks(nothing) == "label kubevirt.io/schedulable is not true"
    assert Offer.of(node(kvm="0")).lacks(nothing) == ""


def tell(scene: Scene, name: str, told: dict[str, Any]) -> None:
    def update(found: dict[str, Any]) -> None:
        found["metadata"]["labels"] = told["metadata"]["labels"]
        found.setdefault("status", {}).update(told["status"])

    scene.store.mutate(NODES, "", name, update)


async def test_a_node_is_waited_for_until_its_devices_are_registered_again(kind: Scene) -> None:
    pool = kind.world.pool(allowance="0", guest_allowance="0")
    async with pool, KindCluster(undo=lambda _: None, run="1", pool=pool) as cluster:
        name = f"{cluster.live.name}-worker"
        tell(kind, name, node(kvm="1k"))
        clock = asyncio.get_running_loop().time
        back: list[float] = []

        async def virt_handler() -> None:
            while not (kind.world.node(name) / "restarts").exists():  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            tell(kind, name, node("10:00:09", kvm="0"))
            await asyncio.sleep(1.0)
            back.append(clock())
            tell(kind, name, node("10:00:09", kvm="1k"))

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(virt_handler())
            await cluster.prepare_nodes((NodeRequest(name="n", memory=GIB),))
            assert back
            assert clock() >= back[0]


async def test_devices_that_do_not_come_back_are_named(kind: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = kind.world.pool(allowance="0", guest_allowance="0")
    async with pool, KindCluster(undo=lambda _: None, run="1", pool=pool) as cluster:
        name = f"{cluster.live.name}-worker"
        tell(kind, name, node(kvm="1k"))
        (worker,) = cluster.live.nodes
        monkeypatch.setattr("harness.cluster.nodes.in_force.IN_FORCE", 0.3)
        async with connect(cluster.kubeconfig) as connection:
            before = await worker.offers(Objects(connection))
            tell(kind, name, node("10:00:09", kvm="0"))
            with pytest.raises(ClusterError) as caught:
                await worker.until_offered(Objects(connection), before)
    assert str(caught.value) == (
        f"node {name} does not take VMIs again 0.3 s after its kubelet's restart: no devices.kubevirt.io/kvm "
        "(--kubevirt-emulation yes does without); is virt-handler there?"
    )


def status_of(phase: str) -> Callable[[dict[str, Any]], None]:
    return lambda pod: pod.update(status={"phase": phase})


async def test_what_daemons_request_is_room_the_fleet_does_not_find(kind: Scene) -> None:
    """virt-handler requests 325Mi (tests/recordings), more than a worker of this world uses."""
    pool = kind.world.pool(guest_allowance="10Mi")
    async with pool, KindCluster(undo=lambda _: None, run="1", guests=2, pool=pool) as cluster:
        name = f"{cluster.live.name}-worker"
        cgroup = kind.world.node(name) / "sys/fs/cgroup"
        cgroup.mkdir(parents=True)
        (cgroup / "memory.current").write_text(f"{200 * MIB}\n")
        (cgroup / "memory.stat").write_text("inactive_file 0\n")
        for pod, phase, amount in (
            ("virt-handler-q22rl", "Running", "325Mi"),
            ("over", "Succeeded", "1Gi"),
            ("elsewhere", "Running", "1Gi"),
        ):
            container = {"name": "c", "image": "i", "resources": {"requests": {"memory": amount}}}
            where = "another" if pod == "elsewhere" else name
            kind.store.create(
                PODS,
                {"metadata": {"name": pod}, "spec": {"nodeName": where, "containers": [container]}},
                namespace="kubevirt",
            )
            kind.store.mutate(PODS, "kubevirt", pod, status_of(phase))
        async with connect(cluster.kubeconfig) as connection:
            assert await requested(Objects(connection), name) == 325 * MIB
        (handle,) = await cluster.prepare_nodes((NodeRequest(name="n", memory=GIB),))
    assert handle.memory == Bytes((1024 + 325 + 20) * MIB)
