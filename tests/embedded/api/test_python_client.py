"""The official Python client, synchronous and asyncio, against the server: every typed object must validate."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from harness.embedded.api.resources import EVENTS, NODES, PODS
from harness.embedded.api.server import ApiServer
from harness.embedded.api.store import Store

kubernetes = pytest.importorskip("kubernetes")
client: Any = pytest.importorskip("kubernetes.client")
aio: Any = pytest.importorskip("kubernetes.aio")

Make = Callable[..., dict[str, Any]]
RECORDED = Path(__file__).parents[2] / "recordings" / "kind-1.36-kubevirt-hard-eviction.ndjson.gz"


@pytest.fixture
def sync(server: ApiServer) -> Any:
    return kubernetes.config.new_client_from_config_dict(server.kubeconfig)


@pytest.fixture
async def asynchronous(server: ApiServer) -> AsyncIterator[Any]:
    made = await aio.config.new_client_from_config_dict(server.kubeconfig)
    try:
        yield made
    finally:
        await made.close()


async def test_pods_from_creation_to_deletion(sync: Any, pod: Make) -> None:
    def all_of_it() -> None:
        core = client.CoreV1Api(sync)
        created = core.create_namespaced_pod("default", pod("a", node="n"))
        assert created.status.phase == "Pending"
        assert [p.metadata.name for p in core.list_pod_for_all_namespaces().items] == ["a"]
        patched = core.patch_namespaced_pod("a", "default", {"metadata": {"labels": {"k": "v"}}})
        assert patched.metadata.labels == {"k": "v"}
        patched.metadata.labels = {"k": "w"}
        assert core.replace_namespaced_pod("a", "default", patched).metadata.labels == {"k": "w"}
        with pytest.raises(client.ApiException) as caught:
            core.replace_namespaced_pod("a", "default", patched)
        assert caught.value.status == 409
        deleted = core.delete_namespaced_pod("a", "default")
        assert deleted.metadata.deletion_grace_period_seconds == 30
        core.delete_namespaced_pod("a", "default", grace_period_seconds=0)
        assert core.list_namespaced_pod("default").items == []
        assert core.read_namespace("default").status.phase == "Active"
        assert client.VersionApi(sync).get_code().git_version == "v1.36.2+density.embedded"

    await asyncio.to_thread(all_of_it)


async def test_custom_objects(sync: Any, vmi: Make) -> None:
    def all_of_it() -> None:
        custom = client.CustomObjectsApi(sync)
        at = {
            "group": "kubevirt.io",
            "version": "v1",
            "namespace": "default",
            "plural": "virtualmachineinstances",
        }
        custom.create_namespaced_custom_object(**at, body=vmi("v"))
        custom.patch_namespaced_custom_object(**at, name="v", body={"metadata": {"labels": {"a": "b"}}})
        listed = custom.list_namespaced_custom_object(**at, label_selector="a=b")
        assert [item["metadata"]["name"] for item in listed["items"]] == ["v"]
        with pytest.raises(client.ApiException) as caught:
            custom.patch_namespaced_custom_object(**at, name="v", body=[{"op": "remove", "path": "/x"}])
        assert caught.value.status == 400
        assert custom.delete_namespaced_custom_object(**at, name="v")["status"] == "Success"

    await asyncio.to_thread(all_of_it)


async def test_a_sync_watch(sync: Any, store: Store, pod: Make) -> None:
    store.create(PODS, pod("a"))

    def watch() -> list[tuple[str, str]]:
        stream = kubernetes.watch.Watch()
        return [
            (event["type"], event["object"].metadata.name)
            for event in stream.stream(client.CoreV1Api(sync).list_pod_for_all_namespaces, timeout_seconds=1)
        ]

    watching = asyncio.create_task(asyncio.to_thread(watch))
    await asyncio.sleep(0.3)
    store.create(PODS, pod("b"))
    assert await watching == [("ADDED", "a"), ("ADDED", "b")]


async def test_the_aio_client(asynchronous: Any, store: Store, pod: Make) -> None:
    core = aio.client.CoreV1Api(asynchronous)
    await core.create_namespaced_pod("default", pod("a"))
    assert [p.metadata.name for p in (await core.list_namespaced_pod("default")).items] == ["a"]
    seen = []
    async with aio.watch.Watch().stream(core.list_pod_for_all_namespaces, timeout_seconds=5) as stream:
        async for event in stream:
            seen.append((event["type"], event["object"].metadata.name))
            if len(seen) == 1:
                store.create(PODS, pod("b"))
            if len(seen) == 2:
                break
    assert seen == [("ADDED", "a"), ("ADDED", "b")]
    deleted = await core.delete_namespaced_pod("a", "default")
    assert deleted.metadata.name == "a"


async def test_the_dynamic_client_reads_the_legacy_discovery(sync: Any, store: Store) -> None:
    store.create(NODES, {"metadata": {"name": "n"}})

    def all_of_it() -> None:
        dynamic = kubernetes.dynamic.DynamicClient(sync)
        nodes = dynamic.resources.get(api_version="v1", kind="Node")
        assert [node.metadata.name for node in nodes.get().items] == ["n"]
        vmis = dynamic.resources.get(api_version="kubevirt.io/v1", kind="VirtualMachineInstance")
        assert vmis.name == "virtualmachineinstances"

    await asyncio.to_thread(all_of_it)


async def test_recorded_objects_validate_when_served(sync: Any, store: Store) -> None:
    latest: dict[tuple[str, str], dict[str, Any]] = {}
    with gzip.open(RECORDED) as lines:
        for line in lines:
            record = json.loads(line)
            if record.get("stream") == "watch" and record["object"]["kind"] in {"Pod", "Node", "Event"}:
                obj = record["object"]
                latest[obj["kind"], obj["metadata"]["name"]] = obj
    for (kind, _), obj in latest.items():
        store.create({"Pod": PODS, "Node": NODES, "Event": EVENTS}[kind], obj)

    def all_of_it() -> None:
        core = client.CoreV1Api(sync)
        assert {n.metadata.name for n in core.list_node().items} == {"den-control-plane", "den-worker"}
        evicted = [p for p in core.list_pod_for_all_namespaces().items if p.status.reason == "Evicted"]
        assert [p.metadata.name for p in evicted] == ["virt-launcher-hog-1-lxk8g"]
        assert any(e.reason == "Evicted" for e in core.list_event_for_all_namespaces().items)

    await asyncio.to_thread(all_of_it)
