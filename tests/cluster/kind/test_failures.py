"""What can go wrong before and while a cluster comes up: one clear line each, and nothing left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.base import NodeRequest
from harness.cluster.errors import ClusterError, NotObservable
from harness.cluster.kind.settings import KindSettings
from harness.cluster.kind.source import KindCluster
from harness.cluster.kind.tools import Tools, few_watches
from harness.units import GIB, Bytes
from tests.cluster.kind.world import INFO, Scene, World, alive


async def refused(world: World, **settings: Any) -> str:
    with pytest.raises(ClusterError) as caught:
        await world.pool(**settings).acquire(workers=1)
    text = str(caught.value)
    assert "\n" not in text
    assert world.clusters == {}
    return text.partition(" (logs of the nodes: ")[0].partition("; inotify limits are low")[0]


async def test_no_docker(world: World) -> None:
    (world.bin / "docker").unlink()
    (world.bin / "podman").unlink()
    pool = world.pool(environment={"PATH": str(world.bin)})
    with pytest.raises(ClusterError, match=r"^docker and podman not found: install docker or podman"):
        await pool.acquire(workers=1)


async def test_kind_missing(world: World) -> None:
    (world.bin / "kind").unlink()
    assert await refused(world) == "kind not found: install it, or give its path with --kind-bin"
    assert await refused(world, kind_bin="/opt/kind") == "--kind-bin /opt/kind: there is no such program"


async def test_kind_of_another_architecture(world: World) -> None:
    (world.bin / "kind").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(200))
    assert (await refused(world)).endswith("is not a program for this machine's architecture")


async def test_an_engine_of_another_architecture(world: World) -> None:
    world.write("info.json", {**INFO, "Architecture": "aarch64"})
    assert await refused(world) == (
        "the engine's machine is aarch64; guests are x86_64: point DOCKER_HOST at an x86_64 machine"
    )


async def test_docker_without_rights(world: World) -> None:
    said = (
        "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"
    )
    world.fault("docker info", stderr=said)
    assert await refused(world) == (
        "docker refuses this user (permission denied): add yourself to its group and log in again, or run as root"
    )


async def test_no_daemon(world: World) -> None:
    world.fault("docker info", stderr="Cannot connect to the Docker daemon at unix:///var/run/docker.sock.")
    assert await refused(world) == (
        "no docker daemon answers at its default socket: start it (systemctl start docker) or set DOCKER_HOST"
    )


async def test_a_full_disk(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write("info.json", {**INFO, "DockerRootDir": str(world.root)})
    monkeypatch.setattr("harness.cluster.kind.tools.DISK", 1 << 60)
    assert "GiB wanted for node and KubeVirt images: free some space (docker system prune)" in await refused(
        world
    )


def test_inotify_limits_that_kind_warns_of(world: World, tmp_path: Path) -> None:
    limits = tmp_path / "inotify"
    limits.mkdir()
    (limits / "max_user_instances").write_text("128\n")
    (limits / "max_user_watches").write_text("524288\n")
    tools = Tools.find(KindSettings(), world.environment)
    said = "inotify limits are low for several nodes: sudo sysctl fs.inotify.max_user_instances=512"
    assert few_watches(tools, limits) == said
    (limits / "max_user_instances").write_text("8192\n")
    assert few_watches(tools, limits) == ""
    assert few_watches(tools, tmp_path / "none") == ""
    remote = Tools.find(KindSettings(), {**world.environment, "DOCKER_HOST": "tcp://far:2376"})
    (limits / "max_user_instances").write_text("128\n")
    assert few_watches(remote, limits) == ""


async def test_manifests_that_are_not_there(world: World) -> None:
    text = await refused(world, kubevirt_manifests="/nowhere")
    assert text == "--kubevirt-manifests: /nowhere/kubevirt-operator.yaml: No such file or directory"


async def test_an_image_that_can_not_be_pulled(world: World) -> None:
    said = 'ERROR: failed to create cluster: failed to pull image "kindest/node:v9"\nCommand Output: manifest unknown'
    world.fault("kind create", stderr=said)
    text = await refused(world)
    assert text.endswith(
        'ERROR: failed to create cluster: failed to pull image "kindest/node:v9" Command Output: manifest unknown'
    )
    assert [c[1] for c in world.calls("kind")][-2:] == ["get", "delete"]


async def test_a_time_out_leaves_neither_processes_nor_a_cluster(world: World) -> None:
    world.fault("kind create", sleep=3600, children=True)
    began = time.monotonic()
    text = await refused(world, create_timeout=1.5)
    assert text.startswith("kind create cluster density-")
    assert text.endswith("did not end within 1.5 s; it was stopped")
    assert alive("sleep 3600.25") == []
    assert alive("sleep 3601.25") == []
    assert time.monotonic() - began < 1.5 + 10.0


async def test_a_half_made_cluster_is_deleted_after_its_logs_were_saved(world: World) -> None:
    world.fault("kind create", after=True, stderr="ERROR: failed to create cluster: failed to join node")
    await refused(world)
    (logs,) = (world.root / "logs").iterdir()
    assert (logs / "kubelet.log").exists()


async def test_a_delete_that_fails_is_left_to_the_undo_file(world: World) -> None:
    world.write(
        "faults.json",
        {
            "kind create": {"after": True, "stderr": "ERROR: failed to join node"},
            "kind delete": {"stderr": "ERROR: device busy"},
        },
    )
    with pytest.raises(ClusterError, match="failed to join node"):
        await world.pool().acquire(workers=1)
    assert [entry["op"] for entry in world.undone] == ["kind-delete"]
    assert world.undone[0]["target"] in world.clusters


async def test_nodes_that_do_not_become_ready(kind: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cluster.kind.pool.NODES_READY", 0.5)
    kind.nodes_ready = False
    text = await refused(kind.world)
    assert text.startswith("2 of 2 nodes are not Ready after 0.5 s: density-")


async def test_kubevirt_that_never_is_available_says_which_image(kind: Scene) -> None:
    kind.kubevirt = {"phase": "Deploying", "conditions": [{"type": "Available", "status": "False"}]}
    waiting = {
        "name": "virt-handler",
        "image": "quay.io/kubevirt/virt-handler:v1.9.0",
        "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}},
    }
    kind.kubevirt_pods = (
        {
            "metadata": {"name": "virt-handler-abc"},
            "spec": {"containers": [{"name": "virt-handler", "image": "i"}]},
            "status": {"phase": "Pending", "containerStatuses": [waiting]},
        },
    )
    text = await refused(kind.world, kubevirt_timeout=1.0)
    assert text == (
        "KubeVirt is not Available after 1 s: pod virt-handler-abc: ImagePullBackOff "
        "quay.io/kubevirt/virt-handler:v1.9.0 (Back-off pulling image)"
    )
    began = time.monotonic()
    text = await refused(kind.world, kubevirt_timeout=60.0, kubevirt_images_loaded=True)
    assert text.startswith("KubeVirt is not Available: pod virt-handler-abc: ImagePullBackOff")
    assert time.monotonic() - began < 30.0


async def test_a_node_larger_than_the_machine_is_not_observable(kind: Scene) -> None:
    pool = kind.world.pool(allowance="0", guest_allowance="0")
    async with pool, KindCluster(undo=lambda _: None, run="1", pool=pool) as cluster:
        with pytest.raises(
            NotObservable, match="larger than the engine's machine, which has 16384 MiB"
        ) as told:
            await cluster.prepare_nodes((NodeRequest(name="n", memory=Bytes(17 * GIB)),))
        assert told.value.lacks == "node-memory"


async def test_a_kubelet_that_does_not_start_says_why(kind: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.cluster.nodes.in_force.IN_FORCE", 0.6)
    pool = kind.world.pool()
    async with pool, KindCluster(undo=lambda _: None, run="1", pool=pool) as cluster:
        kind.world.fault("docker exec*systemctl", code=0)
        with pytest.raises(ClusterError) as caught:
            await cluster.prepare_nodes(
                (NodeRequest(name="n", memory=None, kubelet={"evictionHard": {"memory.available": "1Gi"}}),)
            )
    assert str(caught.value).endswith(
        "does not run as asked after 0.6 s: evictionPressureTransitionPeriod: wanted 30s, is unset; "
        "evictionHard.memory.available: wanted 1Gi, is unset; "
        "kubelet: E1128 command failed: unknown field in the kubelet configuration"
    )
