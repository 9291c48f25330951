"""A whole run on a kind cluster: the orchestrator, a fake kind, and the embedded cluster behind its kubeconfig.

The fake node's kubelet is the embedded one: when the fake `systemctl` restarts it, it comes back with the memory that
/proc/meminfo and the settings that the configuration file of that node's root say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cluster.base import Cluster, Undo
from harness.cluster.kind.meminfo import parse
from harness.cluster.kind.pool import Pool
from harness.cluster.kind.source import KindCluster
from harness.embedded.api.resources import NODES
from harness.embedded.cluster import EmbeddedCluster
from harness.records.model import Sample
from harness.records.rundir import RunDirectory
from harness.run.interrupt import Interrupt
from harness.run.session import run_scenario
from harness.run.settings import Settings
from harness.run.tasks import background
from harness.spec.model import Scenario
from harness.units import GIB, Bytes
from tests.cluster.kind.world import World
from tests.embedded.test_cluster import FAST
from tests.run.agent import AgentMachine
from tests.run.scenarios import HEAD, load

CROSS = """
workload:
  - {name: fill, when: {fleet: all, is: Running}, grow: {fleet: [hog], to: 50Mi, rate: 500Mi/s}}
  - {name: cross, when: {step: done}, grow: {fleet: [hog], until: {available: threshold - 60Mi}, rate: 200Mi/s}}
requires:
  - evicted: {from: [hog], count: 1}
  - survives: {fleet: calm}
"""


# A run ends when its nodes are well again.
WELL_SOON = HEAD.replace("500Mi}}", "500Mi}, evictionPressureTransitionPeriod: 1s}")


class OnEmbedded(KindCluster):
    """The embedded virt-handler reads nonces from annotations; a real one's guest has them on its command line."""

    def guest_settings(self, *, nonce: str, deaf: bool) -> Mapping[str, Any]:
        return {
            **super().guest_settings(nonce=nonce, deaf=deaf),
            "metadata": {"annotations": {"density.dev/nonce": nonce}},
        }


async def play(world: World, cluster: EmbeddedCluster) -> None:
    """Make a node of each container, and restart its kubelet when the fake systemctl did."""
    restarts: dict[str, int] = {}
    while True:
        there = {c for content in world.clusters.values() for c in content["containers"]}
        for name in sorted(there):
            log = world.node(name) / "restarts"
            count = len(log.read_text().splitlines()) if log.exists() else 0
            if restarts.get(name) == count:
                continue
            memory, config = Bytes(16 * GIB), {}
            if count:
                running = yaml.safe_load((world.node(name) / "running.yaml").read_text())
                config = {k: v for k, v in running.items() if k not in {"kind", "cgroupRoot"}}
                memory = Bytes(parse((world.node(name) / "running-meminfo").read_text())["MemTotal"])
            if name in restarts:
                await cluster.remove_node(name)
            restarts[name] = count
            await cluster.add_node(name, memory, config)
            if "control-plane" in name:
                cluster.store.mutate(NODES, "", name, lambda node: node["spec"].update(unschedulable=True))
        await asyncio.sleep(0.02)


@asynccontextmanager
async def playing(world: World) -> AsyncIterator[EmbeddedCluster]:
    async with AgentMachine() as machine, EmbeddedCluster(machine, timing=FAST) as cluster:
        (world.root / "kubeconfig").write_text(yaml.safe_dump(dict(cluster.kubeconfig)))
        # a player that fails ends the test: nothing it waits for would come any more
        async with background() as tasks:
            tasks.start(play(world, cluster), "play")
            yield cluster


async def test_the_orchestrator_drives_a_kind_cluster(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    pool: Pool = world.pool(allowance="0", guest_allowance="0", kubevirt_manifests="installed")

    def make(scenario: Scenario, run: str, undo: Undo) -> Cluster:
        return OnEmbedded(undo=undo, run=run, workers=len(scenario.nodes), pool=pool)

    (tmp_path / "scenario").mkdir()
    async with playing(world), pool:
        result = await run_scenario(
            load(tmp_path / "scenario", CROSS, head=WELL_SOON),
            {},
            make,
            settings=Settings(runs=tmp_path / "runs", command=("density", "run")),
            interrupt=Interrupt(),
        )
        (name,) = world.clusters
    assert result.run.reason == ""
    assert result.run.outcome == "complete"
    assert {f.check: f.outcome for f in result.findings.findings} == {
        "requires/0": "holds",
        "requires/1": "holds",
    }
    directory = RunDirectory.open(result.run.directory.path)
    provenance = directory.provenance
    assert (provenance.cluster, provenance.evidence) == ("kind", "predicted")
    assert provenance.nodes == {"target": {"name": f"{name}-worker", "memory": 1 << 30}}
    assert provenance.qualifiers["node-size"] == "container limit and /proc/meminfo"
    assert provenance.capabilities["node-size"] == "yes"
    assert provenance.kubelet[f"{name}-worker"]["evictionHard"]["memory.available"] == "500Mi"
    sent = yaml.safe_load((directory.artefacts / "manifests/hog.yaml").read_text())
    boot = sent["spec"]["domain"]["firmware"]["kernelBoot"]
    assert boot["container"]["image"] == "density-agent:abc"
    assert " density.nonce=" in boot["kernelArgs"]
    assert sent["spec"]["nodeSelector"] == {"kubernetes.io/hostname": f"{name}-worker"}
    sources = {record.source for _, record in directory.records() if isinstance(record, Sample)}
    assert {"stats/summary", "configz"} <= sources
    assert world.clusters == {}
