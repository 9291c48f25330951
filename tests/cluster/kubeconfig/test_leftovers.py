from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.kubeconfig import KubeconfigCluster, Options
from harness.cluster.kubeconfig.leftovers import collect
from harness.embedded.api.resources import NAMESPACES, PODS, VMIS
from harness.kube.connection import connect
from harness.kube.objects import Objects
from harness.run import undo_kubeconfig
from harness.run.undo import UndoFile, clean
from tests.cluster.kubeconfig.scene import IMAGE, foreign

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
