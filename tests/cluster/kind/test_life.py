"""A kind cluster from nothing to gone, against fake programs and a real API server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import yaml

from harness.cluster.base import NodeRequest
from harness.cluster.errors import ClusterError
from harness.cluster.kind.names import Claim, state_directory
from harness.cluster.kind.source import KindCluster
from harness.embedded.api.resources import KUBEVIRTS, NODES
from harness.units import GIB, MIB, Bytes
from tests.cluster.kind.world import Scene, until

HARD = {"evictionHard": {"memory.available": "200Mi"}}


async def test_a_cluster_is_made_used_and_deleted(kind: Scene) -> None:
    world = kind.world
    world.real_pytest_kind = True
    pool = world.pool(allowance="100Mi", guest_allowance="10Mi")
    undo: list[Any] = []
    async with pool, KindCluster(undo=undo.append, run="abc123", guests=3, pool=pool) as cluster:
        (name,) = world.clusters
        assert name.startswith("density-")
        # our own API server behind the fake programs is no evidence of a real kubelet
        assert cluster.evidence == "predicted"
        assert cluster.versions["kubevirt"] == "v1.9.0"
        assert cluster.versions["kubevirtColumn"] == "v1.9"
        handles = await cluster.prepare_nodes((NodeRequest(name="target", memory=GIB, kubelet=HARD),))
        # 1 GiB asked for, 100 MiB for daemons, 3 launcher pods of 10 MiB
        assert [(h.name, h.kube_name, h.memory) for h in handles] == [
            ("target", f"{name}-worker", Bytes(1154 * MIB))
        ]
        assert cluster.qualifiers["node-size"] == "container limit and /proc/meminfo"
        assert "1154 MiB = 1024 MiB asked for + 130 MiB" in cluster.qualifiers["node target"]
        assert cluster.capabilities()["node-size"] == "yes"
        assert cluster.capabilities()["ksm"] != "yes"
        await cluster.configure_kubevirt({"developerConfiguration": {"memoryOvercommit": 150}})
        (cr,) = kind.store.list(KUBEVIRTS)[0]
        assert cr["spec"]["configuration"]["developerConfiguration"] == {
            "featureGates": [],
            "useEmulation": True,
            "disabledFeatureGates": ["ImageVolume", "Template"],
            "memoryOvercommit": 150,
        }
        assert undo[0]["op"] == "kubevirt-restore"
        assert undo[0]["configuration"]["developerConfiguration"].get("memoryOvercommit") is None
    assert world.clusters == {}
    assert [call[1:4] for call in world.calls("kind")] == [
        ["version"],
        ["get", "clusters"],
        ["get", "clusters"],
        ["create", "cluster", f"--name={name}"],
        ["load", "image-archive", str(world.root / "agent.tar")],
        ["delete", "cluster", f"--name={name}"],
    ]
    assert [call[:3] for call in world.calls("kubectl")] == [
        ["kubectl", "--kubeconfig", str(world.root / f"state/kubevirt-density/kind/{name}.kubeconfig")]
    ] * 3
    assert [entry["op"] for entry in world.undone] == ["kind-delete"]
    assert world.undone[0]["target"] == name
    assert "update --memory 1210056704 --memory-swap 1210056704" in " ".join(
        " ".join(call) for call in world.calls("docker")
    )


async def test_kubevirt_is_as_it_was_before_the_next_run(kind: Scene) -> None:
    pool = kind.world.pool()
    async with pool:
        async with KindCluster(undo=lambda _: None, run="1", pool=pool) as cluster:
            await cluster.configure_kubevirt({"developerConfiguration": {"memoryOvercommit": 150}})
        (cr,) = kind.store.list(KUBEVIRTS)[0]
        assert "memoryOvercommit" not in cr["spec"]["configuration"]["developerConfiguration"]
        async with KindCluster(undo=lambda _: None, run="2", pool=pool):
            pass
        creates = [call for call in kind.world.calls("kind") if call[1] == "create"]
        assert len(creates) == 1


async def test_a_node_is_resized_in_place_twice(kind: Scene) -> None:
    pool = kind.world.pool(allowance="0", guest_allowance="0")
    async with pool, KindCluster(undo=lambda _: None, run="1", pool=pool) as cluster:
        node = kind.world.node(f"{cluster.live.name}-worker")
        inodes = set()
        for memory, threshold in ((2 * GIB, "100Mi"), (GIB, "300Mi")):
            settings = {"evictionHard": {"memory.available": threshold}}
            (handle,) = await cluster.prepare_nodes(
                (NodeRequest(name="n", memory=Bytes(memory), kubelet=settings),)
            )
            assert handle.memory == memory
            inodes.add((node / "run/density/meminfo").stat().st_ino)
            running = yaml.safe_load((node / "running.yaml").read_text())
            # kind's own thresholds stay; the fragment of the run before is gone
            assert running == {
                "kind": "KubeletConfiguration",
                "cgroupRoot": "/kubelet",
                "evictionHard": {"nodefs.available": "0%", "memory.available": threshold},
                # a run ends only when its nodes are well again
                "evictionPressureTransitionPeriod": "30s",
            }
        assert len(inodes) == 1, "a new inode is not seen through a bind mount"


async def test_a_kept_cluster_is_found_again_and_its_nodes_are_as_kind_made_them(kind: Scene) -> None:
    world = kind.world
    first = world.pool(keep=True, allowance="0")
    async with first, KindCluster(undo=lambda _: None, run="1", pool=first) as cluster:
        name = cluster.live.name
        await cluster.prepare_nodes((NodeRequest(name="n", memory=GIB, kubelet=HARD),))
    assert list(world.clusters) == [name]
    node = world.node(f"{name}-worker")
    assert "evictionHard: {nodefs.available: 0%}" in (node / "var/lib/kubelet/config.yaml").read_text()
    assert "16777216 kB" in (node / "running-meminfo").read_text()
    assert [entry["op"] for entry in world.undone] == ["kind-node-restore"]
    assert world.calls("docker")[-1][1:] == [
        "update", "--memory", str(16 << 30), "--memory-swap", "-1", f"{name}-worker"
    ]  # fmt: skip
    second = world.pool(keep=True, allowance="0")
    async with second, KindCluster(undo=lambda _: None, run="2", pool=second) as cluster:
        assert cluster.live.name == name
    assert [c[1:3] for c in world.calls("kind") if c[1] in {"create", "delete"}] == [["create", "cluster"]]


async def test_another_living_harness_has_the_name(kind: Scene) -> None:
    pool = kind.world.pool()
    async with pool:
        name = (await pool.acquire(workers=1)).name
        other = kind.world.pool()
        async with other:
            assert (await other.acquire(workers=1)).name == f"{name}-2"
    assert kind.world.clusters == {}


async def test_a_cluster_that_was_half_made_by_someone_dead_is_made_anew(kind: Scene) -> None:
    world = kind.world
    pool = world.pool()
    async with pool:
        live = await pool.acquire(workers=1)
        name, note = live.name, dict(live.claim.noted())
    claim = Claim.take(name, state_directory(world.environment))
    assert claim is not None
    claim.note({**note, "complete": False})
    claim.release()
    made = {"id": "f" * 64, "role": "worker"}
    world.write("state.json", {"clusters": {name: {"containers": {f"{name}-worker": made}, "created": 1.0}}})
    async with world.pool() as again:
        assert (await again.acquire(workers=1)).name == name
    assert f"cluster {name} is not whole; making it anew" in world.said
    assert [c[1] for c in world.calls("kind") if c[1] in {"create", "delete"}] == [
        "create", "delete", "delete", "create", "delete"
    ]  # fmt: skip


async def test_a_name_that_is_not_ours_is_left_alone(kind: Scene) -> None:
    world = kind.world
    async with world.pool() as pool:
        name = (await pool.acquire(workers=1)).name
    theirs = {name: {"containers": {f"{name}-worker": {"id": "f" * 64, "role": "worker"}}, "created": 1.0}}
    world.write("state.json", {"clusters": theirs})
    with pytest.raises(ClusterError, match=rf"^a kind cluster {name} exists that this harness has not made"):
        await world.pool().acquire(workers=1)
    assert world.clusters == theirs


async def test_capacity_that_does_not_follow_gives_calibrated_thresholds(
    kind: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cluster.nodes.in_force.IN_FORCE", 0.5)
    kind.hooks.blind = True
    pool = kind.world.pool(allowance="0", guest_allowance="0")
    async with pool, KindCluster(undo=lambda _: None, run="1", pool=pool) as cluster:
        (handle,) = await cluster.prepare_nodes((NodeRequest(name="n", memory=GIB, kubelet=HARD),))
        assert handle.memory == GIB
        node = kind.world.node(handle.kube_name)
        running = yaml.safe_load((node / "running.yaml").read_text())
        # 16 GiB - 1 GiB + 200 MiB
        assert running["evictionHard"]["memory.available"] == "16315842560"
        assert "MemTotal:       16777216 kB" in (node / "proc/meminfo").read_text()
        assert "calibrated thresholds" in cluster.qualifiers["node-size"]
        assert "capacity is 17179869184 bytes, not 1073741824" in cluster.qualifiers["node-size"]
        assert cluster.capabilities()["node-size"].startswith("calibrated thresholds")


async def test_podman_and_another_docker_host_are_spoken_to(kind: Scene) -> None:
    world = kind.world
    async with world.pool(engine="podman") as pool:
        name = (await pool.acquire(workers=1)).name
    assert {item["provider"] for item in world.environments()} == {"podman"}
    assert world.calls("docker") == []
    host = {"DOCKER_HOST": "unix:///run/user/1000/docker.sock"}
    async with world.pool(environment=host) as pool:
        assert (await pool.acquire(workers=1)).name != name
    assert world.environments()[-1] == {"docker_host": host["DOCKER_HOST"], "provider": "docker"}
    assert world.undone[-1]["environment"]["DOCKER_HOST"] == host["DOCKER_HOST"]


async def test_cancelling_leaves_nothing(kind: Scene) -> None:
    world = kind.world
    kind.kubevirt = {"phase": "Deploying"}
    pool = world.pool()
    making = asyncio.create_task(pool.acquire(workers=1))
    await until(lambda: any("KubeVirt: Deploying" in text for text in world.said))
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert world.clusters == {}


async def test_a_node_that_is_not_ready_after_an_oom_costs_the_cluster_not_the_next_run(
    kind: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cluster.kind.pool.HEALTHY_AGAIN", 0.3)
    world = kind.world
    async with world.pool() as pool:
        live = await pool.acquire(workers=1)
        not_ready = {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}
        kind.store.mutate(NODES, "", f"{live.name}-worker", lambda node: node.update(not_ready))
        again = await pool.acquire(workers=1)
        assert again is not live
        assert f"cluster {live.name} can't be used again: 1 of 2 nodes are not Ready" in " ".join(world.said)
    assert world.clusters == {}


async def test_a_cluster_that_was_kept_stays_whoever_finds_it(kind: Scene) -> None:
    world = kind.world
    async with world.pool(keep=True) as first:
        name = (await first.acquire(workers=1)).name
    async with world.pool() as second:
        assert (await second.acquire(workers=1)).name == name
    assert list(world.clusters) == [name]
    assert world.undone == []
