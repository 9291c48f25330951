"""A run's namespace on a cluster that outlives it is undone if it is still there, and only if it is the run's own."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from harness.kube.connection import connect
from harness.kube.errors import NotFound
from harness.kube.objects import Objects
from harness.kube.resources import NAMESPACES
from harness.run import undo_namespace, undo_operations
from harness.run.fleet import RUN_LABEL
from tests.run.agent import AgentCluster

import harness.cli.clean  # noqa: F401 isort: skip - what density clean knows


async def test_a_namespace_is_deleted_once_and_only_if_it_is_of_the_run(tmp_path: Path) -> None:
    async with AgentCluster() as cluster, connect(cluster.kubeconfig) as connection:
        objects = Objects(connection)
        path = tmp_path / "kubeconfig"
        path.write_text(yaml.safe_dump(dict(cluster.kubeconfig)))
        for name, run in (("density-a", "a"), ("density-b", "somebody-else")):
            meta = {"name": name, "labels": {RUN_LABEL: run}}
            await objects.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        entries = [
            undo_namespace.entry(kubeconfig=str(path), context="", namespace=f"density-{run}", run=run)
            for run in ("a", "b", "c")
        ]

        def undone() -> dict[str, str]:
            return {d.target: d.failed or d.did for d in undo_operations.undo_all(entries, same_boot=False)}

        first = await asyncio.to_thread(undone)
        assert first == {"density-a": "deleted", "density-b": "", "density-c": ""}
        assert await asyncio.to_thread(undone) == {f"density-{r}": "" for r in "abc"}
        with pytest.raises(NotFound):
            await objects.get(NAMESPACES, "density-a")
        await objects.get(NAMESPACES, "density-b")


def test_a_cluster_whose_kubeconfig_is_gone_needs_nothing(tmp_path: Path) -> None:
    entry = undo_namespace.entry(
        kubeconfig=str(tmp_path / "gone"), context="", namespace="density-a", run="a"
    )
    assert [d.did or d.failed for d in undo_operations.undo_all([entry], same_boot=True)] == [""]


def test_an_unreachable_cluster_keeps_the_entry(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    path.write_text("apiVersion: v1\nkind: Config\nclusters: []\n")
    entry = undo_namespace.entry(kubeconfig=str(path), context="", namespace="density-a", run="a")
    (done,) = undo_operations.undo_all([entry], same_boot=True)
    assert done.failed.startswith("UndoError: namespace density-a: ")
