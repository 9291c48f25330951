from __future__ import annotations

import asyncio

import pytest

from harness.cluster.base import NodeRequest
from harness.cluster.errors import ClusterError, NotObservable
from harness.cluster.local import LocalCluster
from harness.embedded.machine.base import Machine
from harness.embedded.machine.errors import MachineError
from harness.kube.connection import connect
from harness.kube.objects import Objects
from harness.kube.resources import KUBEVIRTS, NODES
from harness.units import GIB, MIB, Bytes
from tests.run.agent import AgentCluster


async def test_nodes_and_configuration_are_there_for_whoever_asks_the_api() -> None:
    async with AgentCluster() as cluster:
        handles = await cluster.prepare_nodes(
            (
                NodeRequest(
                    name="small",
                    memory=Bytes(512 * MIB),
                    kubelet={"evictionHard": {"memory.available": "50Mi"}},
                ),
                NodeRequest(name="any", memory=None),
            )
        )
        assert [(h.name, h.memory) for h in handles] == [("small", 512 * MIB), ("any", GIB)]
        await cluster.configure_kubevirt({"developerConfiguration": {"memoryOvercommit": 150}})
        async with connect(cluster.kubeconfig) as connection:
            objects = Objects(connection)
            nodes, _ = await objects.list_all(NODES)
            assert {n["metadata"]["name"]: n["status"]["capacity"]["memory"] for n in nodes} == {
                "small": "512Mi",
                "any": "1Gi",
            }
            cr, _ = await objects.list_all(KUBEVIRTS)
            assert cr[0]["spec"]["configuration"]["developerConfiguration"]["memoryOvercommit"] == 150
        assert cluster.versions["kubevirtColumn"] == "main"
        assert cluster.disposable
    assert all(node.removed for node in cluster.fake.nodes.values())


async def test_too_little_memory_is_not_observable_and_a_kubelet_that_would_not_start_is_an_error() -> None:
    async with AgentCluster() as cluster:
        assert cluster.capabilities()["node-memory"] == "yes"
        with pytest.raises(
            NotObservable, match="5120 MiB do not fit this machine, which has 4096 MiB"
        ) as told:
            await cluster.prepare_nodes(
                (NodeRequest(name="a", memory=Bytes(4 * GIB)), NodeRequest(name="b", memory=Bytes(GIB)))
            )
        assert told.value.lacks == "node-memory"
        bad = {"evictionSoft": {"memory.available": "1Gi"}}
        with pytest.raises(ClusterError, match="node c: grace period must be specified"):
            await cluster.prepare_nodes((NodeRequest(name="c", memory=Bytes(GIB), kubelet=bad),))
        with pytest.raises(ClusterError, match="KubeVirt configuration was refused"):
            await cluster.configure_kubevirt({"developerConfiguration": {"memoryOvercommit": "150"}})


async def test_a_machine_that_does_not_open_is_one_line_with_what_mends_it() -> None:
    class Closed(AgentCluster):
        async def open_machine(self) -> Machine:
            raise MachineError("no QEMU on PATH: apt-get install qemu-system-x86")

    with pytest.raises(ClusterError, match="no QEMU on PATH: apt-get install"):
        async with Closed():
            pass


async def test_a_controller_that_dies_takes_the_cluster_down_with_its_reason() -> None:
    async def run() -> None:
        async with AgentCluster() as cluster:

            async def die() -> None:
                raise KeyError("a bug")

            cluster.embedded._start("a controller", die())
            await never()

    with pytest.raises(ClusterError, match=r"the embedded cluster failed: KeyError: 'a bug'"):
        await run()


async def never() -> None:
    await asyncio.Event().wait()


def test_guests_get_their_secret_and_their_deafness_by_annotation() -> None:
    cluster = LocalCluster(undo=lambda _: None, run="r1")
    assert cluster.guest_settings(nonce="cafe", deaf=True) == {
        "metadata": {"annotations": {"density.dev/nonce": "cafe", "density.dev/deaf": "1"}}
    }
    assert cluster.guest_settings(nonce="cafe", deaf=False) == {
        "metadata": {"annotations": {"density.dev/nonce": "cafe"}}
    }
    assert cluster.size() > 0
