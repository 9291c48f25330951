"""KubeVirt coming up, failing to, and being configured, on a real API server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from harness.cluster import kubevirt, kubevirt_manifests
from harness.cluster.errors import ClusterError
from harness.embedded.api.resources import EVENTS, KUBEVIRTS, NAMESPACES, PODS
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store
from harness.kube.connection import Connection, connect
from harness.kube.objects import Objects
from tests.cluster.kind.world import write_manifests
from tests.embedded.api.fakes import Clock, FakeAdmission, FakeHooks

DEPLOYING = {"phase": "Deploying", "targetKubeVirtVersion": "v1.9.0"}
DEPLOYED = {
    "phase": "Deployed",
    "conditions": [{"type": "Available", "status": "True"}],
    "targetKubeVirtVersion": "v1.9.0",
    "observedKubeVirtVersion": "v1.9.0",
}


@pytest.fixture
def store() -> Store:
    made = Store(clock=Clock(), seed=7)
    for name in ("default", "kubevirt"):
        made.create(NAMESPACES, {"metadata": {"name": name}})
    return made


@pytest.fixture
async def connection(store: Store) -> AsyncIterator[Connection]:
    async with (
        ApiServer(store, hooks=FakeHooks(), admission=FakeAdmission()) as server,
        connect(server.kubeconfig) as opened,
    ):
        yield opened


def cr(store: Store, status: dict[str, Any], **configuration: Any) -> None:
    store.create(
        KUBEVIRTS,
        {"metadata": {"name": "kubevirt"}, "spec": {"configuration": configuration}, "status": status},
        namespace="kubevirt",
    )


def pod(store: Store, name: str, **status: Any) -> None:
    container = {"name": "c", "image": "quay.io/kubevirt/virt-api:v1.9.0"}
    store.create(
        PODS,
        {"metadata": {"name": name}, "spec": {"containers": [container]}, "status": status},
        namespace="kubevirt",
    )


async def wait(
    connection: Connection, *, seconds: float = 10.0, no_pull: bool = False, said: list[str]
) -> Any:
    return await kubevirt.wait_available(
        connection, namespace="kubevirt", seconds=seconds, progress=said.append, no_pull=no_pull
    )


async def test_it_is_waited_for_with_progress(store: Store, connection: Connection) -> None:
    said: list[str] = []
    cr(store, DEPLOYING)
    pod(store, "virt-api-1", phase="Pending")
    waiting = asyncio.create_task(wait(connection, said=said))
    async with asyncio.timeout(10):
        while not said:  # noqa: ASYNC110 - what is said has no event
            await asyncio.sleep(0.01)
    ready = [{"type": "Ready", "status": "True"}]
    store.mutate(PODS, "kubevirt", "virt-api-1", lambda found: found.update(status={"conditions": ready}))
    # Available of an old version while the new one is rolled out is not what is waited for
    half = {**DEPLOYED, "observedKubeVirtVersion": "v1.8.0"}
    store.mutate(KUBEVIRTS, "kubevirt", "kubevirt", lambda found: found.update(status=half))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    async with asyncio.timeout(10):
        while not any("1 of 1" in text for text in said):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    store.mutate(KUBEVIRTS, "kubevirt", "kubevirt", lambda found: found.update(status=DEPLOYED))
    assert (await waiting)["status"]["observedKubeVirtVersion"] == "v1.9.0"
    # two watches: which of them tells first is not ours to say
    assert any("1 of 1 pods ready" in text for text in said)
    assert any(text.startswith("KubeVirt: Deployed") for text in said)


async def test_a_pod_without_a_place_says_why(store: Store, connection: Connection) -> None:
    cr(store, DEPLOYING)
    message = "0/2 nodes are available: 2 Insufficient memory."
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    pod(store, "virt-api-1", phase="Pending", conditions=[condition])
    pod(store, "virt-controller-1", phase="Running")
    store.create(
        EVENTS,
        {
            "metadata": {"name": "e1"},
            "involvedObject": {"kind": "Pod", "name": "virt-api-1", "namespace": "kubevirt"},
            "reason": "FailedScheduling",
            "message": message,
            "lastTimestamp": "2026-11-28T00:00:00Z",
        },
        namespace="kubevirt",
    )
    with pytest.raises(ClusterError) as caught:
        await wait(connection, seconds=0.5, said=[])
    assert str(caught.value) == (
        "KubeVirt is not Available after 0.5 s: pod virt-api-1: Unschedulable "
        "(0/2 nodes are available: 2 Insufficient memory.), 1 others are not ready either; "
        "last events: FailedScheduling: 0/2 nodes are available: 2 Insufficient memory."
    )


async def test_no_pod_at_all_gives_the_conditions(store: Store, connection: Connection) -> None:
    with pytest.raises(ClusterError, match="no pod of it was seen: is the operator running"):
        await wait(connection, seconds=0.3, said=[])
    cr(store, {"conditions": [{"type": "Degraded", "status": "True", "message": "webhook is not there"}]})
    with pytest.raises(ClusterError, match="Degraded=True: webhook is not there"):
        await wait(connection, seconds=0.3, said=[])


async def test_a_configuration_is_patched_and_put_back_whole(store: Store, connection: Connection) -> None:
    before = {"developerConfiguration": {"useEmulation": True}}
    cr(store, DEPLOYED, **before)
    undo: list[Any] = []
    objects = Objects(connection)
    configuration = kubevirt.Configuration(undo=undo.append, kubeconfig=Path("/k"), context="c")
    await configuration.patch(objects, {})
    assert undo == []
    await configuration.patch(objects, {"developerConfiguration": {"memoryOvercommit": 150}})
    await configuration.patch(objects, {"ksmConfiguration": {"nodeLabelSelector": {}}})

    def now() -> Any:
        return store.get(KUBEVIRTS, "kubevirt", "kubevirt")["spec"]["configuration"]

    assert now() == {
        "developerConfiguration": {"useEmulation": True, "memoryOvercommit": 150},
        "ksmConfiguration": {"nodeLabelSelector": {}},
    }
    assert undo == [
        {
            "op": "kubevirt-restore",
            "target": "kubevirt/kubevirt",
            "kubeconfig": "/k",
            "context": "c",
            "configuration": before,
        }
    ]
    await configuration.restore(objects)
    assert now() == before
    await configuration.restore(objects)


async def test_a_cluster_without_kubevirt_is_told(connection: Connection) -> None:
    configuration = kubevirt.Configuration(undo=lambda _: None, kubeconfig=Path("/k"))
    with pytest.raises(ClusterError, match="KubeVirt is not installed"):
        await configuration.patch(Objects(connection), {"developerConfiguration": {}})


# -- manifests ---------------------------------------------------------------------------------------------------------


async def test_manifests_come_from_a_url(tmp_path: Path) -> None:
    write_manifests(tmp_path / "v1")
    app = web.Application()
    app.router.add_static("/v1", tmp_path / "v1")
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        base = f"http://127.0.0.1:{runner.addresses[0][1]}"
        found = await kubevirt_manifests.load_manifests(f"{base}/v1/")
        assert found.gates
        assert found.digest == (await kubevirt_manifests.load_manifests(str(tmp_path / "v1"))).digest
        with pytest.raises(ClusterError, match=r"v2/kubevirt-operator.yaml: HTTP 404; give a directory"):
            await kubevirt_manifests.load_manifests(f"{base}/v2")
    finally:
        await runner.cleanup()
    with pytest.raises(ClusterError, match=r"offline, give --kubevirt-manifests DIR$"):
        await kubevirt_manifests.load_manifests(base)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("kubevirt-cr.yaml", "kind: ConfigMap\n", "has no KubeVirt object in it"),
        ("kubevirt-operator.yaml", "kind: Namespace\n", "has no Deployment in it"),
        ("kubevirt-operator.yaml", "{[\n", "kubevirt-operator.yaml: while parsing"),
    ],
)
async def test_manifests_of_something_else_are_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    write_manifests(tmp_path / "m")
    (tmp_path / "m" / name).write_text(text)
    with pytest.raises(ClusterError, match=message):
        await kubevirt_manifests.load_manifests(str(tmp_path / "m"))
