"""What a dead run left of kind clusters is undone by entries alone, and leaked clusters are found by label and age."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import harness.run.undo_kind  # noqa: F401 - registers the operations
from harness.cluster.base import NodeRequest
from harness.cluster.errors import ClusterError
from harness.cluster.kind.names import Claim, names, shape_hash, state_directory
from harness.cluster.kind.source import KindCluster
from harness.cluster.kind.undoing import collect, delete_cluster, epoch, forget_gone
from harness.embedded.api.resources import KUBEVIRTS
from harness.run import undo_namespace
from harness.run.undo import UndoFile, clean
from harness.run.undo_operations import undo_all
from harness.units import GIB
from tests.cluster.kind.world import Scene, World, container


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")


async def test_a_killed_harness_is_cleaned_up_after(kind: Scene) -> None:
    """Everything is undone from the entries on disk, while the killed harness undid nothing."""
    world = kind.world
    undo = UndoFile.create(run="abc", command=("density",), where=world.root / "undo")
    pool = world.pool(keep=True, allowance="0", guest_allowance="0")
    pool._undo = undo
    cluster = await KindCluster(undo=undo, run="abc", pool=pool).__aenter__()
    name = cluster.live.name
    kubelet = {"evictionHard": {"memory.available": "1Gi"}}
    await cluster.prepare_nodes((NodeRequest(name="n", memory=GIB, kubelet=kubelet),))
    await cluster.configure_kubevirt({"developerConfiguration": {"memoryOvercommit": 150}})
    node = world.node(f"{name}-worker")
    assert "1048576 kB" in (node / "running-meminfo").read_text()

    entries = [json.loads(line) for line in undo.path.read_text().splitlines()][1:]
    assert [entry["op"] for entry in entries] == ["kind-node-restore", "kubevirt-restore"]
    done = await asyncio.to_thread(undo_all, entries, same_boot=True)
    assert [(item.op, item.did, item.failed) for item in done] == [
        ("kubevirt-restore", "restored", ""),
        ("kind-node-restore", "restored", ""),
    ]
    assert "16777216 kB" in (node / "running-meminfo").read_text()
    assert yaml.safe_load((node / "running.yaml").read_text())["evictionHard"] == {"nodefs.available": "0%"}
    (cr,) = kind.store.list(KUBEVIRTS)[0]
    assert "memoryOvercommit" not in cr["spec"]["configuration"]["developerConfiguration"]
    # a second time there is nothing left to do
    done = await asyncio.to_thread(undo_all, entries, same_boot=True)
    assert [(item.did, item.failed) for item in done] == [("", ""), ("", "")]
    cluster.live.claim.release()
    await asyncio.to_thread(undo.close)


def entry(world: World, name: str) -> dict[str, Any]:
    return {
        "op": "kind-delete",
        "target": name,
        "kind": str(world.bin / "kind"),
        "engine": str(world.bin / "docker"),
        "environment": {"DOCKER_HOST": "unix:///other.sock", "KIND_EXPERIMENTAL_PROVIDER": "docker"},
    }


def test_a_cluster_is_deleted_by_the_undo_file_with_the_engine_it_was_made_with(world: World) -> None:
    world.write(
        "state.json",
        {"clusters": {"density-1": {"containers": {"density-1-worker": container()}, "created": 1}}},
    )
    undo = UndoFile.create(run="abc", command=(), where=world.root / "undo")
    undo(entry(world, "density-1"))
    (done,) = undo.close()
    assert (done.did, done.failed) == ("deleted", "")
    assert world.clusters == {}
    assert {item["docker_host"] for item in world.environments()} == {"unix:///other.sock"}
    assert delete_cluster(entry(world, "density-1")) is None
    assert clean(where=world.root / "undo") == ()


def test_only_clusters_of_ours_are_deleted(world: World) -> None:
    with pytest.raises(ClusterError, match="kind is not a cluster of ours"):
        delete_cluster(entry(world, "kind"))
    assert world.calls() == []


def test_a_delete_that_fails_stays_in_the_undo_file(world: World) -> None:
    world.write("state.json", {"clusters": {"density-1": {"containers": {}, "created": 1}}})
    world.fault("kind delete", stderr="ERROR: device busy")
    undo = UndoFile.create(run="abc", command=(), where=world.root / "undo")
    undo(entry(world, "density-1"))
    (done,) = undo.close()
    assert done.failed == "UndoError: kind delete cluster: ERROR: device busy"
    assert undo.path.exists()


# -- leaked clusters -----------------------------------------------------------------------------------------------------


def gc(world: World, **options: Any) -> dict[str, str]:
    found = collect(
        kind=str(world.bin / "kind"),
        engine=str(world.bin / "docker"),
        environment=world.environment,
        **options,
    )
    return {item.name: item.state for item in found}


def test_leaked_clusters_are_found_by_label_and_age(world: World) -> None:
    import time  # noqa: PLC0415

    old, young = time.time() - 7200, time.time() - 60
    ages = {"density-old": old, "density-young": young, "density-kept": old, "density-used": old, "mine": old}
    clusters = {
        name: {"containers": {f"{name}-worker": container()}, "created": at} for name, at in ages.items()
    }
    world.write("state.json", {"clusters": clusters})
    directory = state_directory(world.environment)
    kept = Claim.take("density-kept", directory)
    used = Claim.take("density-used", directory)
    assert kept is not None
    assert used is not None
    kept.note({"kept": True})
    kept.release()
    assert gc(world) == {
        "density-kept": "kept",
        "density-old": "deleted",
        "density-used": "in-use",
        "density-young": "young",
    }
    assert set(world.clusters) == {"density-young", "density-kept", "density-used", "mine"}
    used.release()
    assert gc(world, kept=True, older_than=0.0) == {
        "density-kept": "deleted",
        "density-used": "deleted",
        "density-young": "deleted",
    }
    assert set(world.clusters) == {"mine"}


async def test_a_kept_cluster_deleted_by_hand_has_nothing_left_to_undo(kind: Scene) -> None:
    world = kind.world
    pool = world.pool(keep=True)
    async with pool, KindCluster(undo=lambda _: None, run="1", pool=pool) as cluster:
        name, where = cluster.live.name, cluster.address
        tools = cluster.live.tools
    assert forget_gone(kind=tools.kind, engine=tools.engine) == ()
    world.write("state.json", {"clusters": {}})
    other = replace(tools.engine, environment={**tools.engine.environment, "DOCKER_HOST": "ssh://elsewhere"})
    assert forget_gone(kind=tools.kind, engine=other) == (), "it may be there yet"
    assert forget_gone(kind=tools.kind, engine=tools.engine) == (name,)
    left = undo_namespace.entry(**where, namespace="density-1", run="1")
    assert [(d.did, d.failed) for d in undo_all([left], same_boot=True)] == [("", "")]


def test_a_leaked_cluster_that_can_not_be_deleted_is_told(world: World) -> None:
    world.write("state.json", {"clusters": {"density-1": {"containers": {"n": container()}, "created": 1}}})
    world.fault("kind delete", stderr="ERROR: device busy")
    assert gc(world) == {"density-1": "failed"}


def test_engines_times_are_read() -> None:
    assert epoch("2026-11-28T00:00:00.123456789Z") == pytest.approx(1795824000.123456)
    assert epoch("2026-11-28T00:00:00Z") == 1795824000.0
    assert epoch("2026-11-28T01:00:00.5+01:00") == 1795824000.5, "podman's has an offset"


# -- names -------------------------------------------------------------------------------------------------------------


def test_a_shape_has_a_name_and_siblings() -> None:
    assert shape_hash({"workers": 2, "image": ""}) == shape_hash({"image": "", "workers": 2})
    assert shape_hash({"workers": 2}) != shape_hash({"workers": 3})
    first, second, *others = names({"workers": 2})
    assert first.startswith("density-")
    assert second == f"{first}-2"
    assert len(others) == 6


def test_a_name_is_held_until_it_is_released(tmp_path: Path) -> None:
    claim = Claim.take("density-1", tmp_path)
    assert claim is not None
    assert Claim.take("density-1", tmp_path) is None
    claim.release()
    claim.release()
    again = Claim.take("density-1", tmp_path)
    assert again is not None
    again.release()
