"""A whole run on a kind cluster: the orchestrator, a fake kind, and the embedded cluster behind its kubeconfig.

The fake node's kubelet is the embedded one: when the fake `systemctl` restarts it, it comes back with the memory that
/proc/meminfo and the settings that the configuration file of that node's root say.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli.run import exit_code
from harness.cluster.base import Cluster, Undo
from harness.cluster.kind.meminfo import parse
from harness.cluster.kind.pool import Pool
from harness.cluster.kind.source import KindCluster
from harness.embedded.api.resources import NODES
from harness.embedded.cluster import EmbeddedCluster
from harness.records.model import Action, Note, Sample
from harness.records.rundir import RunDirectory
from harness.run.health_check import prove_healthy
from harness.run.interrupt import Interrupt
from harness.run.session import Result, run_scenario
from harness.run.settings import Settings, Silent
from harness.run.tasks import background
from harness.run.undo import UndoFile
from harness.run.verdict import verdict
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
  - qos: {of: hog, pod: Burstable}
"""


# A run ends when its nodes are well again, and watches no longer than something is open.
WELL_SOON = (
    HEAD.replace("observe: 1200ms", "observe: 60s")
    .replace("500Mi}}", "500Mi}, evictionPressureTransitionPeriod: 1s}")
    .replace(
        # the fake guest does not listen to its power button
        "requests.memory: 256Mi}",
        "requests.memory: 256Mi, spec.terminationGracePeriodSeconds: 0}",
    )
)


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


def pool_of(world: World) -> Pool:
    return world.pool(allowance="0", guest_allowance="0", kubevirt_manifests="installed")


async def run(
    world: World,
    pool: Pool,
    body: str,
    head: str,
    undo_files: list[UndoFile] | None = None,
    *,
    progress: Silent | None = None,
) -> Result:
    def make(scenario: Scenario, run: str, undo: Undo) -> Cluster:
        if undo_files is not None and isinstance(undo, UndoFile):
            undo_files.append(undo)
        return OnEmbedded(undo=undo, run=run, workers=len(scenario.nodes), pool=pool)

    (world.root / "scenario").mkdir()
    return await run_scenario(
        load(world.root / "scenario", body, head=head),
        {},
        make,
        settings=Settings(
            runs=world.root / "runs", command=("density", "run"), progress=progress or Silent()
        ),
        interrupt=Interrupt(),
    )


async def test_the_orchestrator_drives_a_kind_cluster(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    undo_files: list[UndoFile] = []
    async with playing(world), pool_of(world) as pool:
        result = await run(world, pool, CROSS, WELL_SOON, undo_files)
        (name,) = world.clusters
    assert result.run.reason == ""
    assert result.run.outcome == "complete"
    assert {f.check: f.outcome for f in result.findings.findings} == {
        "requires/0": "holds",
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
    # what else a kill would have left on a cluster that is kept
    (undo,) = undo_files
    assert [(e["op"], e["kubeconfig"].rpartition("/")[2]) for e in undo._entries] == [
        ("namespace-delete", f"{name}.kubeconfig")
    ]
    ended = [
        r.args["reason"] for _, r in directory.records() if isinstance(r, Action) and r.what == "window-end"
    ]
    assert ended == ["every check is decided"]
    # pressure was gone; a pod was tried, which the embedded cluster never takes
    told = [
        r.text for _, r in directory.records() if isinstance(r, Note) and r.what in {"healthy", "unhealthy"}
    ]
    assert [text.partition(":")[0] for text in told] == [f"node {name}-worker turned a test pod away"]


async def test_a_vmi_without_a_node_is_told_and_nothing_is_left(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(world.root / "undo"))
    monkeypatch.setattr("harness.run.orchestrator.UNSCHEDULABLE", 0.3)
    async with playing(world), pool_of(world) as pool:
        result = await run(
            world, pool, CROSS, WELL_SOON.replace("requests.memory: 256Mi", "requests.memory: 3Gi")
        )
    assert result.run.outcome == "failed"
    assert re.fullmatch(
        r"density-\w+/calm is not scheduled: 0/2 nodes are available: .*Insufficient memory.*",
        result.run.reason,
    )
    assert (
        exit_code(result, verdict(result.scenario, result.findings, result.run.directory.provenance, None))
        == 3
    )
    assert world.clusters == {}
    assert list((world.root / "undo").rglob("*.ndjson")) == []


async def test_settings_of_the_host_are_not_observable_with_the_reason(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(world.root / "undo"))
    host = "host: {ksm: {run: 1}, swap: {kind: zram, size: 256Mi}}\nnodes:"
    async with playing(world), pool_of(world) as pool:
        result = await run(world, pool, CROSS, WELL_SOON.replace("nodes:", host))
    assert result.run.outcome == "not-observable"
    assert result.run.reason == (
        "KSM belongs to the whole host on kind: /sys is read-only in a node, virt-handler can't switch it, and pages of "
        "all nodes merge together; swap belongs to the whole host on kind: a node's kubelet sees the host's, and sized "
        "nodes are given none"
    )
    assert {f.outcome for f in result.findings.findings} == {"not-observable"}
    assert not list(world.root.glob("nodes/*/restarts"))


async def test_a_node_that_an_oom_kill_took_along_fails_the_run_and_costs_the_cluster(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(world.root / "undo"))
    monkeypatch.setattr("harness.run.teardown.TEARDOWN", 0.3)
    monkeypatch.setattr("harness.cluster.kind.pool.HEALTHY_AGAIN", 0.3)
    assert prove_healthy.__kwdefaults__ is not None
    monkeypatch.setitem(prove_healthy.__kwdefaults__, "deadline", 0.3)

    over = asyncio.Event()

    class Listener(Silent):
        def step(self, text: str) -> None:
            if text == "deleting the guests":
                over.set()

    async def die(cluster: EmbeddedCluster) -> None:
        """As kubernetes-sigs/kind#3169 has it: the kubelet is gone, and its node not Ready some time later."""
        await over.wait()
        (name,) = (n for n in cluster._kubelets if n.endswith("-worker"))
        kubelet = cluster._running_tasks[f"kubelet {name}"]
        kubelet.cancel()
        await asyncio.wait([kubelet])
        silent = {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}
        cluster.store.mutate(NODES, "", name, lambda node: node["status"].update(conditions=[silent]))

    async with playing(world) as cluster, pool_of(world) as pool, background() as tasks:
        tasks.start(die(cluster), "die")
        result = await run(world, pool, CROSS, WELL_SOON, progress=Listener())
        live = pool._live
        assert live is not None
        assert "Kubelet stopped posting node status." in await pool._ill(live)
    assert (result.run.outcome, result.run.reason) == (
        "failed", f"node {live.name}-worker is not Ready 0 s after the run"
    )  # fmt: skip
    assert world.clusters == {}
