"""The ConfigMap the page speaks of: made in KubeVirt's namespace, gone after the run where the cluster is not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from harness.cluster.errors import ClusterError, NotObservable
from harness.kube.connection import connect
from harness.kube.errors import NotFound
from harness.kube.objects import Objects
from harness.kube.resources import CONFIG_MAPS
from harness.records.model import Action, Record
from harness.run import undo_operations
from harness.run.config_map import write_config_map
from harness.run.stream import Stream
from tests.run.agent import AgentCluster
from tests.run.scenarios import HEAD, load

import harness.cli.clean  # noqa: F401 isort: skip - what density clean knows

ASKED = HEAD + 'kubevirtConfigMap: {memory-overcommit: "150"}\n'


class Sink:
    """Keeps records in memory."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def append(self, record: Record) -> int:
        self.records.append(record)
        return len(self.records)


class Kept(AgentCluster):
    """A cluster that outlives its runs, and can be reached again."""

    disposable = False
    path = Path("nowhere")

    @property
    def address(self) -> Mapping[str, str]:
        return {"kubeconfig": str(self.path), "context": ""}


class Others(AgentCluster):
    """A cluster that others use too."""

    namespace = ""

    async def admit(self, namespace: str, fleet: object) -> tuple[str, ...]:
        raise AssertionError


async def test_it_is_made_and_its_undo_entry_before_it(tmp_path: Path) -> None:
    sink = Sink()
    entries: list[undo_operations.Entry] = []
    async with Kept() as cluster, connect(cluster.kubeconfig) as connection:
        cluster.path = tmp_path / "kubeconfig"
        cluster.path.write_text(yaml.safe_dump(dict(cluster.kubeconfig)))
        objects = Objects(connection)
        stream = Stream(sink)
        await write_config_map(load(tmp_path, "", head=ASKED), cluster, stream, run="a1", undo=entries.append)
        made = await objects.get(CONFIG_MAPS, "kubevirt-config", namespace="kubevirt")
        assert made["data"] == {"memory-overcommit": "150"}
        (entry,) = entries
        assert (entry["op"], entry["target"], entry["run"]) == ("config-map-delete", "kubevirt-config", "a1")
        (action,) = [r for r in sink.records if isinstance(r, Action)]
        assert (action.what, action.target) == ("create-config-map", "kubevirt/kubevirt-config")

        with pytest.raises(ClusterError, match=r"ConfigMap kubevirt-config was not made: .*already exists"):
            await write_config_map(
                load(tmp_path, "", head=ASKED), cluster, stream, run="b2", undo=entries.append
            )

        def undone() -> list[str]:
            return [d.failed or d.did for d in undo_operations.undo_all(entries, same_boot=False)]

        # The second run's entry is not its to delete by.
        assert sorted(await asyncio.to_thread(undone)) == ["", "deleted"]
        with pytest.raises(NotFound):
            await objects.get(CONFIG_MAPS, "kubevirt-config", namespace="kubevirt")


async def test_where_nothing_is_asked_nothing_is_made(tmp_path: Path) -> None:
    async with AgentCluster() as cluster, connect(cluster.kubeconfig) as connection:
        await write_config_map(load(tmp_path, ""), cluster, Stream(Sink()), run="a", undo=None)
        found, _ = await Objects(connection).list_all(CONFIG_MAPS, namespace="kubevirt")
        assert found == []


async def test_others_clusters_are_left_alone(tmp_path: Path) -> None:
    async with Others() as cluster, connect(cluster.kubeconfig) as connection:
        with pytest.raises(NotObservable, match="this cluster is not ours"):
            await write_config_map(
                load(tmp_path, "", head=ASKED), cluster, Stream(Sink()), run="a", undo=None
            )
        found, _ = await Objects(connection).list_all(CONFIG_MAPS, namespace="kubevirt")
        assert found == []
