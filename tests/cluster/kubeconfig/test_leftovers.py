from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from aiohttp import web

from harness.cluster.errors import ClusterError
from harness.cluster.kubeconfig import KubeconfigCluster, Options
from harness.cluster.kubeconfig.leftovers import collect
from harness.embedded.api.resources import NAMESPACES, PODS, VMIS
from harness.kube.connection import connect
from harness.kube.objects import Objects
from harness.run import undo_kubeconfig
from harness.run.undo import UndoFile, clean
from tests.cluster.kubeconfig.privileged import FakeNode
from tests.cluster.kubeconfig.scene import GROW, IMAGE, carry_out, foreign, objects
from tests.rbac_proxy import Asked
from tests.run.scenarios import load

LATER = datetime.now(UTC) + timedelta(hours=3)


def labelled(name: str, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"density.dev/run": "abc123"}}, **spec}


async def test_only_what_carries_the_label_and_is_old_is_removed() -> None:
    async with foreign("node-stats", "namespaces") as there:
        store = there.inner.embedded.store
        store.create(NAMESPACES, labelled("density-abc123"))
        store.create(NAMESPACES, {"metadata": {"name": "somebodys"}})
        devices = {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}, "nodeSelector": {"no": "where"}}
        store.create(VMIS, labelled("inside", spec=devices), namespace="density-abc123")
        store.create(VMIS, labelled("ours", spec=devices), namespace="somebodys")
        store.create(VMIS, {"metadata": {"name": "theirs"}, "spec": devices}, namespace="somebodys")
        pod = {"containers": [{"name": "c", "image": "i"}], "nodeSelector": {"no": "where"}}
        store.create(PODS, labelled("density-health-1", spec=pod), namespace="somebodys")
        async with connect(there.kubeconfig) as connection:
            young = await collect(Objects(connection))
            assert {(left.kind, left.name, left.removed) for left in young} == {
                ("Namespace", "density-abc123", False),
                ("VirtualMachineInstance", "ours", False),
                ("Pod", "density-health-1", False),
            }
            assert "(run abc123, 0.0 h old): left alone: too young" in str(young[0])
            old = await collect(Objects(connection), now=LATER)
        assert all(left.removed for left in old), old
        names = {
            i.object["metadata"]["name"]
            for i in store.encoded_list(VMIS)
            if "deletionTimestamp" not in i.object["metadata"]
        }
        assert names == {"theirs"}
        assert "somebodys" in {i.object["metadata"]["name"] for i in store.encoded_list(NAMESPACES)}


async def test_who_may_look_in_one_namespace_only_is_told_how() -> None:
    async with foreign("node-stats") as there, connect(there.kubeconfig) as connection:
        with pytest.raises(
            ClusterError, match=r"^RBAC denies looking .*; --namespace NS looks in one namespace only$"
        ):
            await collect(Objects(connection, patience=1.0))
        assert await collect(Objects(connection, patience=1.0), namespace="density") == ()


async def test_all_that_a_run_makes_carries_its_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made: list[dict[str, Any]] = []

    async def note(request: web.Request, wish: Asked) -> None:
        if wish.verb == "create":
            made.append(orjson.loads(await request.read()))

    async with foreign("node-stats", "namespaces", "node-reader") as there:
        node = FakeNode(there, tmp_path / "node")
        with node.running():
            play = there.rbac.instead
            assert play is not None

            async def both(request: web.Request, wish: Asked) -> web.StreamResponse | None:
                await note(request, wish)
                return await play(request, wish)

            there.rbac.instead = both
            result = await carry_out(
                there,
                load(tmp_path, GROW),
                tmp_path,
                namespace="",
                node_reader=True,
                node_reader_image="i",
            )
            left = {n["metadata"]["name"] for n in objects(there, NAMESPACES)}
    assert result.run.outcome == "complete", result.run.reason
    assert [item["kind"] for item in made] == [
        "Namespace", "DaemonSet", "Namespace", "VirtualMachineInstance", "VirtualMachineInstance", "Pod",
    ]  # fmt: skip
    runs = {item["metadata"]["labels"]["density.dev/run"] for item in made}
    assert runs == {result.run.directory.id.rpartition("-")[2]}
    assert {name for name in left if name.startswith("density-")} == set()


async def test_a_readers_daemonset_is_found() -> None:
    created = (datetime.now(UTC) - timedelta(hours=3)).isoformat()
    labels = {"density.dev/run": "abc123", "density.dev/node-pod": "reader"}
    meta = {"name": "density-reader-abc123", "namespace": "density", "creationTimestamp": created}
    item = {"metadata": {**meta, "labels": labels}}
    async with (
        foreign("node-stats", "node-reader", served={"daemonsets": [item]}) as there,
        connect(there.kubeconfig) as connection,
    ):
        (found,) = await collect(Objects(connection, patience=1.0), namespace="density")
    assert str(found) == "DaemonSet density/density-reader-abc123 (run abc123, 3.0 h old): removed"
    assert ("delete", "apps", "daemonsets") in there.rbac.used


async def test_a_patched_cr_is_put_back_after_a_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert undo_kubeconfig.__name__  # imported: it registers the operation
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    async with foreign("node-stats", "kubevirt-settings") as there:
        file = tmp_path / "config"
        file.write_text(yaml.safe_dump(there.kubeconfig))
        before = there.inner.embedded.kubevirt_configuration()
        undo = UndoFile.create(run="abc123")
        seen = KubeconfigCluster(
            Options(kubeconfig=file, namespace="density", agent_image=IMAGE, patch_kubevirt=True),
            undo=undo,
            run="abc123",
        )
        async with seen:
            await seen.configure_kubevirt({"developerConfiguration": {"memoryOvercommit": 150}})
            seen._restore = None  # as if killed
        assert there.inner.embedded.kubevirt_configuration() != before
        assert clean() != ()  # its owner lives: left alone
        assert there.inner.embedded.kubevirt_configuration() != before
        # the server of this test runs in the loop that a synchronous undo would block
        done = await asyncio.to_thread(undo.close)
        assert [(item.op, item.did, item.failed) for item in done] == [("kubectl-patch", "restored", "")]
        assert there.inner.embedded.kubevirt_configuration() == before
