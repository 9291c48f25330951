"""The whole way, against the real embedded API server over HTTPS, with fake guests and a kubelet in a hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.cluster.base import Cluster, Undo
from harness.cluster.errors import ClusterError
from harness.records.model import Action, Guest, Note, Sample, Watch
from harness.records.rundir import RunDirectory
from harness.run.interrupt import Interrupt
from harness.run.judging import judge_directory
from harness.run.session import Result, run_scenario
from harness.run.settings import Settings, Silent
from harness.spec.model import Scenario
from harness.units import MIB
from tests.run.agent import AgentCluster
from tests.run.scenarios import load

CROSS = """
workload:
  - {name: fill, when: {fleet: all, is: Running}, grow: {fleet: [hog], to: 250Mi, rate: 2000Mi/s}}
  - {name: cross, when: {step: done}, grow: {fleet: [hog], until: {available: threshold - 60Mi}, rate: 200Mi/s}}
requires:
  - evicted: {from: [hog], count: 1}
  - survives: {fleet: calm}
"""
CONTROL = CROSS + "control: {nodes.target.memory: 2Gi}\n"


class Clusters:
    """Makes fake clusters and remembers them."""

    def __init__(self) -> None:
        self.made: list[AgentCluster] = []
        self.kind: type[AgentCluster] = AgentCluster

    def __call__(self, _scenario: Scenario, _run: str, _undo: Undo) -> Cluster:
        self.made.append(self.kind())
        return self.made[-1]


async def carry_out(
    scenario: Scenario,
    tmp_path: Path,
    *,
    interrupt: Interrupt | None = None,
    clusters: Clusters | None = None,
    **settings: Any,
) -> Result:
    return await run_scenario(
        scenario,
        {},
        clusters or Clusters(),
        settings=Settings(runs=tmp_path / "runs", command=("density", "run"), **settings),
        interrupt=interrupt or Interrupt(),
    )


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


async def test_a_hog_is_driven_over_the_threshold_and_everything_is_on_record(tmp_path: Path) -> None:
    clusters = Clusters()
    result = await carry_out(load(tmp_path, CROSS), tmp_path, clusters=clusters)

    assert result.run.outcome == "complete"
    assert {f.check: f.outcome for f in result.findings.findings} == {
        "requires/0": "holds",
        "requires/1": "holds",
    }
    directory = RunDirectory.open(result.run.directory.path)
    records = [record for _, record in directory.records()]
    assert directory.complete

    actions = [r for r in records if isinstance(r, Action)]
    assert [a.what for a in actions if a.what != "command"] == [
        "configure-kubelet",
        "configure-kubevirt",
        "create-namespace",
        "create",
        "answer",
        "create",
        "answer",
        "step-start",
        "step-done",
        "step-start",
        "step-done",
        "workload-done",
        "window-end",
    ]
    namespace = actions[2].target
    assert [a.target for a in actions if a.what == "create"] == [f"{namespace}/hog", f"{namespace}/calm"]
    assert [a.args["line"] for a in actions if a.what == "command"][:2] == [
        "1 grow to=262144000 rate=2097152000 pages=unique seed=1",
        # at most 90 % of the 472 MiB that were available at hello, a MiB spared, in whole pages
        "2 grow to=444383232 rate=209715200 pages=unique seed=1",
    ]
    assert actions[0].args["config"] == {"evictionHard": {"memory.available": "500Mi"}}

    # Of 1024 two idle guests use 200: below 500 available it holds more than 324, and it stops at the latest when 440
    # are available (384 held) and the next look of the probe, half a second later, has told so.
    assert 324 * MIB < result.run.held["cross"]["hog"] <= 424.8 * MIB

    kinds = {r.object["kind"] for r in records if isinstance(r, Watch)}
    assert kinds == {"Node", "Pod", "VirtualMachineInstance", "Event", "KubeVirt"}
    sources = {
        (r.source, r.subject if not r.subject.startswith("pod/") else "pod")
        for r in records
        if isinstance(r, Sample)
    }
    assert {
        ("cgroup", "/"),
        ("cgroup", "/kubepods"),
        ("cgroup", "pod"),
        ("stats/summary", ""),
        ("configz", ""),
    } <= sources
    hellos = {r.vmi for r in records if isinstance(r, Guest) and "hello" in r.line}
    assert hellos == {f"{namespace}/hog", f"{namespace}/calm"}
    assert not [r.text for r in records if isinstance(r, Note) and r.what in {"gap", "lost-command"}]

    provenance = directory.provenance
    assert provenance.nodes == {"target": {"name": "target", "memory": 1 << 30}}
    assert provenance.kubelet["target"]["evictionHard"] == {"memory.available": "500Mi"}
    assert provenance.outcome == "complete"
    assert (directory.artefacts / "consoles" / "hog.log").read_text().startswith("@ hello proto=1")
    assert "density.dev/nonce" in (directory.artefacts / "manifests" / "hog.yaml").read_text()
    # nothing is left behind: no undo file, no node
    assert not list((tmp_path / "state").rglob("*.ndjson"))
    assert clusters.made[0].fake.nodes["target"].removed


async def test_a_control_gets_the_same_load_and_vouches_for_the_run(tmp_path: Path) -> None:
    scenario = load(tmp_path, CONTROL)
    clusters = Clusters()
    result = await carry_out(scenario, tmp_path, clusters=clusters, control_margin=0.3)
    assert result.control is not None
    main, control = result.run.directory, result.control.directory
    assert main.provenance.control == control.id
    assert control.provenance.control_of == main.id
    assert control.provenance.nodes["target"]["memory"] == 2 << 30
    assert result.findings.valid
    # the ramp that went until something happened is replayed up to what was held then
    assert result.control.held["cross"]["hog"] == result.run.held["cross"]["hog"]
    lines = clusters.made[1].fake.agents["hog"].commands
    assert lines[1] == f"2 grow to={result.run.held['cross']['hog']} rate=209715200 pages=unique seed=1"

    # judged again elsewhere, with and without its control beside it: the same bytes
    before = main.findings_path.read_bytes()
    assert judge_directory(RunDirectory.open(main.path), {}).valid
    assert main.findings_path.read_bytes() == before
    control.path.rename(tmp_path / "away")
    judge_directory(RunDirectory.open(main.path), {})
    assert main.findings_path.read_bytes() == before


async def test_the_control_of_a_run_in_which_nobody_dies_is_watched_as_long_and_no_longer(
    tmp_path: Path,
) -> None:
    body = (
        "workload:\n  - {when: {fleet: all, is: Ready}, grow: {fleet: [hog], to: 10Mi, rate: 100Mi/s}}\n"
        "requires: [{survives: {fleet: all}}]\n"
        "control: {nodes.target.memory: 2Gi}\n"
    )
    result = await carry_out(load(tmp_path, body), tmp_path, control_margin=30.0)
    assert result.control is not None
    assert result.findings.valid
    at = {r.what: r.t for _, r in result.control.directory.records() if isinstance(r, Action)}
    assert 0.9 < at["window-end"] - at["workload-done"] < 10.0


async def test_a_control_that_dies_too_makes_the_run_undecided(tmp_path: Path) -> None:
    scenario = load(tmp_path, CROSS + "control: {kubevirt.developerConfiguration.memoryOvercommit: 100}\n")
    result = await carry_out(scenario, tmp_path, control_margin=1.0)
    assert not result.findings.valid
    assert {f.outcome for f in result.findings.findings} == {"undecided"}


async def test_an_interrupt_ends_in_good_order_and_what_is_known_is_judged(tmp_path: Path) -> None:
    interrupt = Interrupt()

    class Impatient(Silent):
        def step(self, text: str) -> None:
            if text == "running the workload":
                asyncio.get_running_loop().call_later(0.3, interrupt.request)

    slow = CROSS.replace("rate: 200Mi/s", "rate: 1Mi/s")
    clusters = Clusters()
    result = await carry_out(
        load(tmp_path, slow), tmp_path, interrupt=interrupt, progress=Impatient(), clusters=clusters
    )
    assert result.run.outcome == "interrupted"
    assert result.control is None
    assert not result.findings.complete
    assert {f.outcome for f in result.findings.findings} <= {"undecided", "refuted"}
    directory = RunDirectory.open(result.run.directory.path)
    assert not directory.complete
    assert directory.provenance.outcome == "interrupted"
    # the ramp was told to stop
    assert clusters.made[0].fake.agents["hog"].commands[-1].endswith(" stop")
    assert clusters.made[0].fake.nodes["target"].removed
    assert not list((tmp_path / "state").rglob("*.ndjson"))


async def test_a_guest_that_refuses_fails_the_run_with_its_words(tmp_path: Path) -> None:
    body = "workload:\n  - {when: {fleet: all, is: Ready}, cache: {fleet: [hog], to: 10Mi}}\nrequires: [{survives: {fleet: calm}}]\n"
    result = await carry_out(load(tmp_path, body), tmp_path)
    assert result.run.outcome == "failed"
    assert result.run.reason.endswith("/hog: no room for it")


async def test_a_refused_manifest_fails_the_run_with_the_servers_words(tmp_path: Path) -> None:
    # a limit below the request: KubeVirt's webhook refuses it
    scenario = load(tmp_path, CROSS, overrides=("fleet.hog.set.spec.domain.resources.limits.memory=32Mi",))
    result = await carry_out(scenario, tmp_path)
    assert result.run.outcome == "failed"
    assert result.run.reason.startswith("VirtualMachineInstance hog was refused: admission webhook")


async def test_a_node_larger_than_the_machine_is_not_observable(tmp_path: Path) -> None:
    result = await carry_out(load(tmp_path, CROSS, overrides=("nodes.target.memory=8Gi",)), tmp_path)
    assert result.run.outcome == "not-observable"
    assert {f.outcome for f in result.findings.findings} == {"not-observable"}
    assert "8192 MiB do not fit this machine, which has 4096 MiB" in result.findings.findings[0].reason
    assert RunDirectory.open(result.run.directory.path).complete


async def test_what_a_scenario_needs_and_the_machine_lacks_is_not_tried(tmp_path: Path) -> None:
    clusters = Clusters()
    scenario = load(tmp_path, "needs: [cgroup-write]\n" + CONTROL)

    class Lacking(AgentCluster):
        def capabilities(self) -> Mapping[str, str]:
            return {"cgroup-write": "read-only file system"}

    clusters.kind = Lacking
    result = await carry_out(scenario, tmp_path, clusters=clusters)
    assert result.run.outcome == "not-observable"
    assert result.control is None
    assert {f.seen for f in result.findings.findings} == {
        "this cluster lacks cgroup-write (read-only file system)"
    }
    assert not clusters.made[0].fake.nodes


async def test_a_cluster_that_does_not_come_up_leaves_no_run(tmp_path: Path) -> None:
    class Broken(AgentCluster):
        async def open_machine(self) -> Any:
            raise ClusterError("no QEMU here: apt-get install qemu-system-x86")

    def make(_scenario: Scenario, _run: str, _undo: Undo) -> Cluster:
        return Broken()

    with pytest.raises(ClusterError, match="no QEMU here"):
        await run_scenario(
            load(tmp_path, CROSS), {}, make, settings=Settings(runs=tmp_path / "runs"), interrupt=Interrupt()
        )
    assert not (tmp_path / "runs").exists()
