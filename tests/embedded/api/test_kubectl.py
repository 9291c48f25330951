"""The real kubectl against the server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from harness.embedded.api.resources import (
    EVENTS,
    KUBEVIRTS,
    NODES,
    PODS,
    VIRTUALMACHINEINSTANCES,
    VIRTUALMACHINES,
)
from harness.embedded.api.store import Store
from tests.embedded.api.fakes import FakeHooks, Kubectl, until

pytestmark = pytest.mark.kubectl
Make = Callable[..., dict[str, Any]]


def running(store: Store, obj: dict[str, Any]) -> None:
    store.create(PODS, obj)
    statuses = [{"name": "c", "ready": True, "restartCount": 0, "state": {"running": {}}}]
    store.mutate(
        PODS,
        "default",
        obj["metadata"]["name"],
        lambda o: o.update(
            status={
                "phase": "Running",
                "podIP": "10.1.0.7",
                "containerStatuses": statuses,
                "conditions": [{"type": "Ready", "status": "True"}],
            }
        ),
    )


@pytest.fixture
def node(store: Store) -> None:
    store.create(
        NODES,
        {
            "metadata": {"name": "n", "labels": {"node-role.kubernetes.io/worker": ""}},
            "status": {
                "conditions": [{"type": "Ready", "status": "True"}],
                "allocatable": {"memory": "1Gi"},
                "nodeInfo": {"kubeletVersion": "v1.36.2"},
            },
        },
    )


@pytest.mark.usefixtures("node")
async def test_get(kubectl: Kubectl, store: Store, pod: Make, vmi: Make) -> None:
    running(store, pod("p", node="n", labels={"app": "x"}))
    store.create(VIRTUALMACHINEINSTANCES, {**vmi("v"), "status": {"phase": "Running", "nodeName": "n"}})
    store.create(KUBEVIRTS, {"metadata": {"name": "kubevirt"}, "status": {"phase": "Deployed"}})
    store.create(
        VIRTUALMACHINES,
        {
            "metadata": {"name": "m"},
            "status": {
                "printableStatus": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        },
    )

    for args, lines in (
        (["get", "pods"], ["NAME READY STATUS RESTARTS AGE", "p 1/1 Running 0 0s"]),
        (["get", "po", "-A", "-l", "app=x", "--no-headers"], ["default p 1/1 Running 0 0s"]),
        (["get", "pod", "p", "-o", "wide", "--no-headers"], ["p 1/1 Running 0 0s 10.1.0.7 n <none> <none>"]),
        (["get", "nodes"], ["NAME STATUS ROLES AGE VERSION", "n Ready worker 0s v1.36.2"]),
        (["get", "vmi"], ["NAME AGE PHASE IP NODENAME READY", "v 0s Running n"]),
        (["get", "vm"], ["NAME AGE STATUS READY", "m 0s Running True"]),
        (["get", "kv"], ["NAME AGE PHASE", "kubevirt 0s Deployed"]),
        (["get", "ns"], ["NAME STATUS AGE", "default Active 0s"]),
        (["get", "pods", "-o", "name"], ["pod/p"]),
        (["get", "pods", "--sort-by=.metadata.name", "--no-headers"], ["p 1/1 Running 0 0s"]),
        (["get", "vmi", "v", "-o", "jsonpath={.status.phase}"], ["Running"]),
        (
            ["get", "virtualmachineinstances.v1alpha3.kubevirt.io", "v", "-o", "jsonpath={.apiVersion}"],
            ["kubevirt.io/v1alpha3"],
        ),
    ):
        ran = await kubectl(*args)
        assert ran.code == 0, ran.err
        assert [" ".join(line.split()) for line in ran.out.splitlines()] == lines, args
    ran = await kubectl("get", "all")
    assert "pod/p" in ran.out
    assert "virtualmachineinstance.kubevirt.io/v" in ran.out
    assert "virtualmachine.kubevirt.io/m" in ran.out
    ran = await kubectl("get", "pod", "none")
    assert (ran.code, ran.err) == (1, 'Error from server (NotFound): pods "none" not found\n')


async def test_apply_twice_then_change(kubectl: Kubectl, store: Store, vmi: Make, pod: Make) -> None:
    for manifest, name in ((vmi("v"), "virtualmachineinstance.kubevirt.io/v"), (pod("p"), "pod/p")):
        ran = await kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        assert (ran.code, ran.out) == (0, f"{name} created\n"), ran.err
        ran = await kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        assert (ran.code, ran.out) == (0, f"{name} unchanged\n"), ran.err
    changed = pod("p")
    changed["spec"]["containers"][0]["image"] = "j"
    ran = await kubectl("apply", "-f", "-", stdin=json.dumps(changed))
    assert (ran.code, ran.out) == (0, "pod/p configured\n"), ran.err
    assert store.get(PODS, "default", "p")["spec"]["containers"] == [{"name": "c", "image": "j"}]
    ran = await kubectl("diff", "-f", "-", stdin=json.dumps(pod("p")))
    assert ran.code == 1
    ran = await kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(pod("p")))
    assert ran.code == 1
    assert "Server-side apply not available" in ran.err or "unknown format" in ran.err


async def test_unknown_fields(kubectl: Kubectl, store: Store, vmi: Make) -> None:
    manifest = vmi("v")
    manifest["spec"]["tpyo"] = 1
    ran = await kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
    assert ran.code == 1
    assert 'strict decoding error: unknown field "spec.tpyo"' in ran.err
    ran = await kubectl("apply", "--validate=warn", "-f", "-", stdin=json.dumps(manifest))
    assert ran.code == 0
    assert ran.err == 'Warning: unknown field "spec.tpyo"\n'
    assert "tpyo" not in store.get(VIRTUALMACHINEINSTANCES, "default", "v")["spec"]


async def test_create_replace_and_dry_runs(kubectl: Kubectl, store: Store, vmi: Make) -> None:
    ran = await kubectl("create", "-f", "-", "--dry-run=server", stdin=json.dumps(vmi("v")))
    assert ran.out == "virtualmachineinstance.kubevirt.io/v created (server dry run)\n"
    assert store.list(VIRTUALMACHINEINSTANCES)[0] == []
    generated = vmi("x")
    generated["metadata"] = {"generateName": "hog-"}
    ran = await kubectl("create", "-f", "-", stdin=json.dumps(generated))
    assert ran.code == 0
    assert ran.out.startswith("virtualmachineinstance.kubevirt.io/hog-")
    await kubectl("create", "-f", "-", stdin=json.dumps(vmi("v")))
    ran = await kubectl("create", "-f", "-", stdin=json.dumps(vmi("v")))
    assert "AlreadyExists" in ran.err
    ran = await kubectl("replace", "-f", "-", stdin=json.dumps(vmi("v", autoattachGraphicsDevice=False)))
    assert ran.code == 0, ran.err
    devices = store.get(VIRTUALMACHINEINSTANCES, "default", "v")["spec"]["domain"]["devices"]
    assert devices == {"autoattachGraphicsDevice": False}


async def test_label_annotate_patch(kubectl: Kubectl, store: Store, vmi: Make) -> None:
    store.create(VIRTUALMACHINEINSTANCES, vmi("v"))
    assert (await kubectl("label", "vmi", "v", "a=b")).code == 0
    assert (await kubectl("annotate", "vmi", "v", "c=d")).code == 0
    assert (await kubectl("patch", "vmi", "v", "--type=merge", "-p", '{"spec":{"x":1}}')).code == 0
    json_patch = '[{"op":"add","path":"/spec/y","value":2}]'
    assert (await kubectl("patch", "vmi", "v", "--type=json", "-p", json_patch)).code == 0
    obj = store.get(VIRTUALMACHINEINSTANCES, "default", "v")
    assert (obj["metadata"]["labels"], obj["metadata"]["annotations"]) == ({"a": "b"}, {"c": "d"})
    assert (obj["spec"]["x"], obj["spec"]["y"]) == (1, 2)
    ran = await kubectl("patch", "vmi", "v", "-p", "{}")
    assert ran.code == 1
    assert "UnsupportedMediaType" in ran.err or "unknown format" in ran.err
    ran = await kubectl(
        "patch", "vmi", "v", "--subresource=status", "--type=merge", "-p", '{"status":{"phase":"Running"}}'
    )
    assert ran.code == 0, ran.err
    assert store.get(VIRTUALMACHINEINSTANCES, "default", "v")["status"] == {"phase": "Running"}


async def test_wait_for_a_condition_that_comes_later(kubectl: Kubectl, store: Store, vmi: Make) -> None:
    store.create(VIRTUALMACHINEINSTANCES, vmi("v"))
    waiting = asyncio.create_task(kubectl("wait", "--for=condition=Ready", "vmi/v", "--timeout=10s"))
    await until(lambda: bool(store._listeners[VIRTUALMACHINEINSTANCES]))
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    store.mutate(VIRTUALMACHINEINSTANCES, "default", "v", lambda o: o.update(status=ready))
    ran = await waiting
    assert (ran.code, ran.out) == (0, "virtualmachineinstance.kubevirt.io/v condition met\n"), ran.err


async def test_wait_for_deletion(kubectl: Kubectl, store: Store, pod: Make) -> None:
    running(store, pod("p", node="n"))
    waiting = asyncio.create_task(kubectl("wait", "--for=delete", "pod/p", "--timeout=10s"))
    await until(lambda: bool(store._listeners[PODS]))
    store.remove(PODS, "default", "p")
    ran = await waiting
    assert (ran.code, ran.out) == (0, "pod/p condition met\n"), ran.err


async def test_wait_gives_up_in_time(kubectl: Kubectl, store: Store, pod: Make) -> None:
    running(store, pod("p"))
    ran = await kubectl("wait", "--for=condition=Never", "pod/p", "--timeout=1s")
    assert ran.code == 1
    assert "timed out waiting for the condition on pods/p" in ran.err


async def test_delete_waits_for_the_kubelet(kubectl: Kubectl, store: Store, pod: Make) -> None:
    running(store, pod("p", node="n"))
    deleting = asyncio.create_task(kubectl("delete", "pod", "p"))
    await until(lambda: bool(store._listeners[PODS]))
    assert store.get(PODS, "default", "p")["metadata"]["deletionGracePeriodSeconds"] == 30
    assert not deleting.done()
    store.remove(PODS, "default", "p")
    ran = await deleting
    assert ran.code == 0, ran.err
    assert ran.out.startswith('pod "p" deleted')


async def test_delete_variants(kubectl: Kubectl, store: Store, pod: Make, vmi: Make) -> None:
    running(store, pod("p", node="n"))
    ran = await kubectl("delete", "pod", "p", "--force", "--grace-period=0")
    assert ran.code == 0, ran.err
    for name in ("a", "b"):
        store.create(VIRTUALMACHINEINSTANCES, vmi(name))
    ran = await kubectl("delete", "vmi", "--all")
    assert ran.code == 0, ran.err
    assert store.list(VIRTUALMACHINEINSTANCES)[0] == []
    assert (await kubectl("create", "ns", "x")).code == 0
    assert (await kubectl("delete", "ns", "x")).code == 0


async def test_get_watch_prints_what_happens(kubectl: Kubectl, store: Store, pod: Make) -> None:
    running(store, pod("p"))
    process = await kubectl.start("get", "pods", "-w")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(10):
            assert (await process.stdout.readline()).split()[0] == b"NAME"
            assert (await process.stdout.readline()).split()[0] == b"p"
            await until(lambda: bool(store._listeners[PODS]))
            store.create(PODS, pod("q"))
            assert (await process.stdout.readline()).split()[:3] == [b"q", b"0/1", b"Unknown"]
    finally:
        process.terminate()
        await process.communicate()


async def test_get_one_watch_skips_nothing(kubectl: Kubectl, store: Store, pod: Make) -> None:
    running(store, pod("p"))
    process = await kubectl.start("get", "pod", "p", "-w", "--no-headers")
    assert process.stdout is not None
    try:
        async with asyncio.timeout(10):
            assert (await process.stdout.readline()).split()[2] == b"Running"
            await until(lambda: bool(store._listeners[PODS]))
            store.mutate(
                PODS, "default", "p", lambda o: o.update(status={"phase": "Failed", "reason": "Evicted"})
            )
            assert (await process.stdout.readline()).split()[2] == b"Evicted"
    finally:
        process.terminate()
        await process.communicate()


@pytest.mark.usefixtures("node")
async def test_describe_and_events(kubectl: Kubectl, store: Store, pod: Make, vmi: Make) -> None:
    running(store, pod("p", node="n"))
    uid = store.create(VIRTUALMACHINEINSTANCES, vmi("v"))["metadata"]["uid"]
    pod_uid = store.get(PODS, "default", "p")["metadata"]["uid"]
    for kind, name, of, reason, version in (
        ("Pod", "p", pod_uid, "Evicted", "v1"),
        ("VirtualMachineInstance", "v", uid, "Started", "kubevirt.io/v1"),
    ):
        store.create(
            EVENTS,
            {
                "metadata": {"name": f"{name}.1"},
                "type": "Normal",
                "reason": reason,
                "message": "said",
                "involvedObject": {
                    "kind": kind,
                    "name": name,
                    "namespace": "default",
                    "uid": of,
                    "apiVersion": version,
                },
                "firstTimestamp": "2026-05-04T12:00:00Z",
                "lastTimestamp": "2026-05-04T12:00:00Z",
                "count": 1,
                "source": {"component": "kubelet"},
            },
        )
    ran = await kubectl("describe", "pod", "p")
    assert ran.code == 0, ran.err
    assert "Evicted" in ran.out
    ran = await kubectl("describe", "vmi", "v")
    assert "Started" in ran.out
    ran = await kubectl("describe", "node", "n")
    assert ran.code == 0, ran.err
    assert "Non-terminated Pods:          (1 in total)" in ran.out
    ran = await kubectl("get", "events", "--no-headers")
    assert [" ".join(line.split()) for line in ran.out.splitlines()] == [
        "0s Normal Evicted pod/p said",
        "0s Normal Started virtualmachineinstance/v said",
    ]
    ran = await kubectl("events", "--for", "pod/p", "--no-headers")
    assert "Evicted" in ran.out
    assert "Started" not in ran.out


async def test_logs(kubectl: Kubectl, store: Store, pod: Make, hooks: FakeHooks) -> None:
    running(store, pod("p"))
    assert (await kubectl("logs", "p")).out == "one\ntwo\nthree\n"
    assert (await kubectl("logs", "p", "--tail=1")).out == "three\n"
    hooks.later.put_nowait(b"four\n")
    hooks.later.put_nowait(None)
    assert (await kubectl("logs", "-f", "p")).out == "one\ntwo\nthree\nfour\n"


@pytest.mark.usefixtures("node")
async def test_nodes_are_cordoned_tainted_and_drained(kubectl: Kubectl, store: Store, pod: Make) -> None:
    assert (await kubectl("cordon", "n")).out == "node/n cordoned\n"
    assert store.get(NODES, "", "n")["spec"]["unschedulable"] is True
    assert (await kubectl("uncordon", "n")).code == 0
    assert (await kubectl("taint", "node", "n", "k=v:NoSchedule")).code == 0
    assert store.get(NODES, "", "n")["spec"]["taints"] == [{"effect": "NoSchedule", "key": "k", "value": "v"}]
    for options in (["--force"], ["--force", "--disable-eviction"]):
        running(store, pod("p", node="n"))
        draining = asyncio.create_task(kubectl("drain", "n", *options))
        await until(lambda: "deletionTimestamp" in store.get(PODS, "default", "p")["metadata"])
        store.remove(PODS, "default", "p")
        ran = await draining
        assert ran.code == 0, ran.err
        assert "node/n drained" in ran.out


@pytest.mark.usefixtures("node")
async def test_what_else_people_type(kubectl: Kubectl) -> None:
    for args, part in (
        (["version"], "Server Version: v1.36.2+density.embedded"),
        (["api-resources"], "virtualmachineinstances"),
        (["api-versions"], "subresources.kubevirt.io/v1alpha3"),
        (["explain", "vmi"], "KIND:       VirtualMachineInstance"),
        (["explain", "pods.spec"], "FIELD: spec"),
        (["auth", "can-i", "create", "vmis"], "yes"),
        (["auth", "whoami"], "density"),
        (["cluster-info"], "is running at"),
        (["get", "--raw", "/api/v1/nodes/n/proxy/configz"], "evictionHard"),
        (["get", "--raw", "/readyz"], "ok"),
    ):
        ran = await kubectl(*args)
        assert ran.code == 0, (args, ran.err)
        assert part in ran.out, args


async def test_without_the_token_kubectl_is_refused(kubectl: Kubectl) -> None:
    ran = await kubectl("get", "pods", "--token=wrong")
    assert ran.code == 1
    assert "Unauthorized" in ran.err or "logged in" in ran.err
