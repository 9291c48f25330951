"""`--allow-kubelet-config`: a pod writes a node's kubelet settings and restarts it, and all is put back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.base import NodeRequest
from harness.cluster.errors import ClusterError, NotObservable
from harness.cluster.kubeconfig import KubeconfigCluster, Options
from harness.cluster.kubeconfig.kubelets import stood_in
from harness.run import undo_kubeconfig
from harness.run.undo import UndoFile
from harness.units import GIB, MIB, Bytes
from tests.cluster.kubeconfig.privileged import FakeNode
from tests.cluster.kubeconfig.scene import IMAGE, Foreign, cluster, foreign

SETS: dict[str, Any] = {"allow_kubelet_config": True, "node_reader_image": "registry.example/busybox:1"}
WANTED = {"evictionHard": {"memory.available": "200Mi"}}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def request(memory: int | None, kubelet: Mapping[str, Any]) -> tuple[NodeRequest, ...]:
    size = None if memory is None else Bytes(memory)
    return (NodeRequest(name="target", memory=size, kubelet=kubelet),)


def allowed(there: Foreign, told: Any, file: Path) -> KubeconfigCluster:
    file.write_text(yaml.safe_dump(there.kubeconfig))
    options = Options(
        kubeconfig=file,
        namespace="density",
        agent_image=IMAGE,
        allow_kubelet_config=True,
        node_reader_image="i",
    )
    return KubeconfigCluster(options, undo=told, run="abc123")


@pytest.mark.parametrize("drop_ins", [True, False])
async def test_settings_are_made_and_put_back(tmp_path: Path, drop_ins: bool) -> None:
    told: list[Mapping[str, Any]] = []
    async with foreign("node-stats", "kubelet-settings") as there:
        with FakeNode(there, tmp_path / "node", drop_ins=drop_ins).running() as node:
            before = (node.here / "config.yaml").read_text()
            async with allowed(there, told.append, tmp_path / "config") as seen:
                (handle,) = await seen.prepare_nodes(request(GIB, WANTED))
                assert handle.memory == GIB
                assert node.effective["evictionHard"]["memory.available"] == "200Mi"
                assert node.effective["maxPods"] == 110, "what was not asked for stays"
                assert seen.capabilities()["kubelet-settings"] == "yes"
                assert seen.capabilities()["node-size"] == "yes"
            assert node.effective["evictionHard"]["memory.available"] == "500Mi"
            assert (node.here / "config.yaml").read_text() == before
            assert [p.name for p in node.here.glob("drop-ins/*")] == []
            assert node.calls.count("restart kubelet") == 2
            assert node.pods("kubelet") == []
            assert all(
                command[:8] == ("nsenter", "-t", "1", "-m", "-u", "-i", "-n", "--") for command in node.told
            )
    (entry,) = told
    assert {k: entry[k] for k in ("op", "target", "namespace", "run", "image")} == {
        "op": "kubelet-restore", "target": "worker", "namespace": "density", "run": "abc123", "image": "i",
    }  # fmt: skip
    assert there.rbac.denied == []


async def test_what_a_run_has_put_back_is_not_undone_again(tmp_path: Path) -> None:
    async with foreign("node-stats", "kubelet-settings", "namespaces") as there:
        file = tmp_path / "config"
        file.write_text(yaml.safe_dump(there.kubeconfig))
        options = Options(
            kubeconfig=file, agent_image=IMAGE, allow_kubelet_config=True, node_reader_image="i"
        )
        with FakeNode(there, tmp_path / "node").running() as node:
            undo = UndoFile.create(run="abc123")
            async with KubeconfigCluster(options, undo=undo, run="abc123") as seen:
                await seen.prepare_nodes(request(GIB, WANTED))
            pods = len(node.told)
            done = await asyncio.to_thread(undo.close)
            assert [(item.op, item.did, item.failed) for item in done] == [
                ("kubelet-restore", "", ""),
                ("namespace-delete", "", ""),
            ]
            assert len(node.told) == pods == 3


async def test_what_is_in_force_already_is_not_touched(tmp_path: Path) -> None:
    async with foreign("node-stats", "kubelet-settings") as there:
        with FakeNode(there, tmp_path / "node").running() as node:
            async with cluster(there, **SETS) as seen:
                await seen.prepare_nodes(request(GIB, {"evictionHard": {"memory.available": "512000Ki"}}))
            assert node.calls == []


async def test_settings_that_no_kubelet_starts_with_are_put_back_at_once(tmp_path: Path) -> None:
    async with foreign("node-stats", "kubelet-settings") as there:
        with FakeNode(there, tmp_path / "node").running() as node:
            async with cluster(there, **SETS) as seen:
                with pytest.raises(
                    ClusterError,
                    match=r"^node worker: setting its kubelet failed: the kubelet did not start, all was put back: "
                    r"E1128 run\.go:74\] command failed: nonsense",
                ):
                    await seen.prepare_nodes(request(None, {"cpuManagerPolicy": "nonsense"}))
                assert [p.name for p in node.here.glob("drop-ins/*")] == []
                assert not (node.here / "dead").exists()


async def test_a_crash_leaves_what_clean_puts_back(tmp_path: Path) -> None:
    assert undo_kubeconfig.__name__  # imported: it registers the operation
    async with foreign("node-stats", "kubelet-settings") as there:
        # two files, as $KUBECONFIG lists them
        one, two = tmp_path / "one", tmp_path / "two"
        whole = dict(there.kubeconfig)
        one.write_text(yaml.safe_dump({k: v for k, v in whole.items() if k != "users"}))
        two.write_text(yaml.safe_dump({"users": whole["users"]}))
        with FakeNode(there, tmp_path / "node").running() as node, pytest.MonkeyPatch.context() as patch:
            patch.setenv("KUBECONFIG", f"{one}:{two}")
            undo = UndoFile.create(run="abc123")
            options = Options(
                namespace="density", agent_image=IMAGE, allow_kubelet_config=True, node_reader_image="i"
            )
            async with KubeconfigCluster(options, undo=undo, run="abc123") as seen:
                await seen.prepare_nodes(request(GIB, WANTED))
                seen._work._kubelets._set.clear()  # as if killed
            assert node.effective["evictionHard"]["memory.available"] == "200Mi"
            assert f'"kubeconfig":"{one}:{two}"' in undo.path.read_text()
            patch.delenv("KUBECONFIG")
            # the server of this test runs in the loop that a synchronous undo would block
            done = await asyncio.to_thread(undo.close)
            assert [(item.op, item.did, item.failed) for item in done] == [
                ("kubelet-restore", "restored", "")
            ]
            assert node.effective["evictionHard"]["memory.available"] == "500Mi"
            two.unlink()
            one.unlink()


async def test_a_zero_that_no_kubelet_serves_is_in_force_and_put_back_after_a_crash(tmp_path: Path) -> None:
    assert undo_kubeconfig.__name__
    async with foreign("node-stats", "kubelet-settings") as there:
        file = tmp_path / "config"
        with FakeNode(there, tmp_path / "node").running() as node:
            undo = UndoFile.create(run="abc123")
            async with allowed(there, undo, file) as seen:
                await seen.prepare_nodes(request(None, {**WANTED, "evictionMaxPodGracePeriod": 0}))
                assert node.effective["evictionMaxPodGracePeriod"] == 0
                seen._work._kubelets._set.clear()  # as if killed
            done = await asyncio.to_thread(undo.close)
            assert [(item.op, item.did, item.failed) for item in done] == [
                ("kubelet-restore", "restored", "")
            ]
            assert "evictionMaxPodGracePeriod" not in node.effective


async def test_without_the_permission_nothing_is_touched(tmp_path: Path) -> None:
    async with foreign("node-stats", "kubelet-settings") as there:
        with FakeNode(there, tmp_path / "node").running() as node:
            async with cluster(there) as seen:
                with pytest.raises(NotObservable, match="touched only with --allow-kubelet-config"):
                    await seen.prepare_nodes(request(GIB, WANTED))
            assert node.told == []
    async with foreign("node-stats") as there:
        with pytest.raises(
            ClusterError,
            match=r"^--allow-kubelet-config: RBAC denies get pods/log in namespace density: density rbac",
        ):
            async with cluster(there, **SETS):
                pass


# -- calibrated thresholds (facts: option C) ---------------------------------------------------------------------------


async def test_a_size_is_stood_in_for_by_a_threshold(tmp_path: Path) -> None:
    async with foreign("node-stats", "kubelet-settings") as there:
        with FakeNode(there, tmp_path / "node").running() as node:
            async with cluster(there, **SETS) as seen:
                # the node of 1 GiB uses nothing yet
                await seen.prepare_nodes(request(512 * MIB, WANTED))
                # C - M + E = 1024 - 512 + 200 MiB
                assert node.effective["evictionHard"]["memory.available"] == str((1024 - 512 + 200) * MIB)
                assert "calibrated thresholds for 512 MiB" in seen.capabilities()["node-size"]
                assert (
                    "capacity, percentages and oom_score_adj are the node's" in seen.qualifiers["node target"]
                )


def test_what_the_node_uses_already_comes_on_top() -> None:
    (one,) = request(1 * GIB, {"evictionHard": {"memory.available": "200Mi"}, "maxPods": 20})
    # 64 GiB, 8 GiB in use: it is to act when 1 GiB - 200 MiB more are used
    found = stood_in(one, capacity=Bytes(64 * GIB), used=Bytes(8 * GIB))
    assert found == {"evictionHard": {"memory.available": str((64 - 8 - 1) * GIB + 200 * MIB)}, "maxPods": 20}


def test_what_can_not_be_stood_in_for_is_not_observable() -> None:
    (one,) = request(1 * GIB, {"maxPods": 20})
    with pytest.raises(
        NotObservable, match=r"only a threshold of memory\.available could stand in"
    ) as caught:
        stood_in(one, capacity=Bytes(64 * GIB), used=Bytes(0))
    assert caught.value.lacks == "node-memory", "what a baseline's unless excuses"
    (two,) = request(60 * GIB, WANTED)
    with pytest.raises(
        NotObservable, match="needs 61440 MiB beside the 8192 MiB that are used of the node's 65536"
    ):
        stood_in(two, capacity=Bytes(64 * GIB), used=Bytes(8 * GIB))
