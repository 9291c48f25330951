"""What goes wrong at an existing cluster ends with one clear line, exit code 3, and nothing left behind."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from harness.cli import errors
from harness.embedded.api.resources import KUBEVIRTS, NODES, VMIS
from harness.records.rundir import RunDirectory
from harness.run import orchestrator
from harness.run.interrupt import Interrupt
from harness.run.record import Request, record
from tests.cluster.kubeconfig.scene import GROW, IMAGE, carry_out, cluster, foreign, objects
from tests.embedded.api.fakes import until
from tests.kube.faulty import kubeconfig
from tests.run.scenarios import load, write


@dataclass
class Ended:
    code: int
    out: str
    err: str


async def density(tmp_path: Path, *arguments: str) -> Ended:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "harness.cli",
        *arguments,
        env={"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(40):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode or 0, out.decode(), err.decode())


def written(tmp_path: Path, name: str, document: dict[str, Any]) -> str:
    file = tmp_path / name
    file.write_text(yaml.safe_dump(document))
    return str(file)


def run(tmp_path: Path, config: str, *more: str) -> tuple[str, ...]:
    scenario = str(write(tmp_path, GROW))
    given = (
        "run",
        scenario,
        "--cluster",
        "kubeconfig",
        "--kubeconfig",
        config,
        "--runs-dir",
        str(tmp_path / "runs"),
    )
    return (*given, "--agent-image", IMAGE, "--namespace", "density", *more)


async def refused(work: AbstractAsyncContextManager[Any]) -> str:
    """What the command line would say; it is an error of the cluster, in one line."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the command line explains them all
        async with asyncio.timeout(20), work:
            pass
    code, line = errors.explain(caught.value)
    assert code == 3, line
    assert "\n" not in line
    return line


@asynccontextmanager
async def recorded(runs: Path, config: Path | dict[str, Any], **request: Any) -> AsyncIterator[None]:
    await record(Request(runs=runs, kubeconfig=config, **request), interrupt=Interrupt())
    yield


async def test_what_ends_before_it_begins_is_one_line(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    async with foreign("node-stats") as there:
        good = there.kubeconfig
        line = await refused(recorded(runs, tmp_path / "none"))
        assert line == f"kubeconfig {tmp_path}/none: [Errno 2] No such file or directory: '{tmp_path}/none'"
        assert await refused(recorded(runs, good, context="x")) == "kubeconfig: no context 'x' (known: c)"
        assert "--agent-image REF" in await refused(cluster(there, agent_image=""))

        expired = dict(there.inner.embedded.server.kubeconfig)
        expired["users"] = [{"name": "density-embedded", "user": {"token": "of-yesterday"}}]
        assert "does not accept the credentials (expired?): log in again" in await refused(
            recorded(runs, expired)
        )
        assert "does not accept the credentials" in await refused(cluster(there, kubeconfig=expired))

        everything, there.rbac._rules = there.rbac._rules, []
        for work in (recorded(runs, good), cluster(there)):
            line = await refused(work)
            assert line.startswith("RBAC denies: nodes is forbidden: User")
            assert line.endswith("density rbac | kubectl apply -f - grants it")

        there.rbac._rules = everything
        there.inner.embedded.store.delete(KUBEVIRTS, "kubevirt", "kubevirt")
        assert "KubeVirt is not installed" in await refused(cluster(there))
        assert objects(there, VMIS) == []
    assert not runs.exists()


async def test_nobody_there_is_one_line_and_soon(tmp_path: Path) -> None:
    began = asyncio.get_running_loop().time()
    line = await refused(recorded(tmp_path, kubeconfig("http://127.0.0.1:1")))
    assert "the API server can't be reached: http://127.0.0.1:1: Cannot connect" in line
    assert asyncio.get_running_loop().time() - began < 8.0


async def test_what_looks_like_production_is_not_squeezed_by_accident(tmp_path: Path) -> None:
    async with foreign("node-stats") as there:
        live = {**there.kubeconfig, "current-context": "shop-live"}
        live["contexts"] = [{"name": "shop-live", "context": {"cluster": "k", "user": "u"}}]
        found = await density(tmp_path, *run(tmp_path, written(tmp_path, "live", live)))
        assert there.rbac.used == set()
        async with cluster(there, kubeconfig=live, context="shop-live", meant=True):
            pass
        assert "looks like production" in await refused(cluster(there, kubeconfig=live, meant=True))
    assert found.code == 3
    assert found.err == (
        "density: context 'shop-live' looks like production, where nothing is squeezed by accident; "
        "if it is meant: --context shop-live --i-mean-it\n"
    )
    assert not (tmp_path / "runs").exists()
    assert not list((tmp_path / "state").rglob("*.ndjson"))


async def test_a_vmi_that_finds_no_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orchestrator, "UNSCHEDULABLE", 0.5)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with foreign("node-stats") as there:
        scenario = load(
            tmp_path, GROW, overrides=("fleet.hog.set.spec.domain.resources.requests.memory=3Gi",)
        )
        result = await carry_out(there, scenario, tmp_path)
        left = objects(there, VMIS)
        there.inner.embedded.store.mutate(NODES, "", "worker", lambda n: n["spec"].update(unschedulable=True))
    assert result.run.outcome == "failed"
    # the scheduler's words, soon, not a hello that did not come within 100 s
    assert "/hog is not scheduled: 0/1 nodes are available: 1 Insufficient memory" in result.run.reason
    assert left == []


HOST = """
host:
  {setting}
requires:
  - survives: {{fleet: calm}}
"""


@pytest.mark.parametrize(
    ("setting", "what"),
    [("ksm: {run: 1}", "ksm"), ("swap: {kind: file, size: 1Gi}", "swap")],
)
async def test_settings_of_the_nodes_machines_are_not_silently_left_out(
    setting: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with foreign("node-stats") as there:
        result = await carry_out(there, load(tmp_path, HOST.format(setting=setting)), tmp_path)
        made = [used for used in there.rbac.used if used[0] == "create"]
    assert result.run.outcome == "not-observable"
    assert "no access to the nodes of an existing cluster" in result.run.reason
    assert {f.outcome for f in result.findings.findings} == {"not-observable"}
    assert result.run.directory.provenance.capabilities[what] != "yes", "what a baseline's unless excuses"
    assert made == []


async def test_what_a_node_is_not_is_skipped_by_the_command_line(tmp_path: Path) -> None:
    async with foreign("node-stats") as there:
        config = written(tmp_path, "good", there.kubeconfig)
        sized = await density(tmp_path, *run(tmp_path, config, "--set", "nodes.target.memory=3Gi"))
        kubelet = ("--set", "nodes.target.kubelet.evictionHard={memory.available: 300Mi}")
        other = await density(tmp_path, *run(tmp_path, config, *kubelet))
        assert not [used for used in there.rbac.used if used[0] == "create"]
    assert (sized.code, other.code) == (0, 0), (sized, other)
    assert (
        "skip requires/0: this cluster lacks node-memory: node target is to have 3072 MiB, worker has 1024"
        in (sized.out)
    )
    assert (
        "skip requires/0: this cluster lacks kubelet-settings: the kubelet of worker has "
        "evictionHard.memory.available: 500Mi, the scenario asks 300Mi"
    ) in other.out


async def test_recording_ends_when_what_is_waited_for_is_seen(tmp_path: Path) -> None:
    async with foreign("node-stats", "namespaces") as there:
        good = written(tmp_path, "good", there.kubeconfig)
        recording = asyncio.create_task(
            density(
                tmp_path,
                *("record", "--kubeconfig", good, "-n", "density", "--until", "ended:v", "--linger", "0.1"),
                *("--runs-dir", str(tmp_path / "runs"), "--for", "30"),
            )
        )
        store = there.inner.embedded.store
        await until(lambda: ("watch", "kubevirt.io", "virtualmachineinstances") in there.rbac.used)
        vmi = {"metadata": {"name": "v"}, "spec": {"domain": {"devices": {}, "memory": {"guest": "64Mi"}}}}
        store.create(VMIS, vmi, namespace="density")
        await asyncio.sleep(0.3)
        store.delete(VMIS, "density", "v")
        found = await recording
        denied = {(wish.verb, wish.named) for wish in there.rbac.denied}
    assert found.code == 0, found
    assert "VMI v ended" in found.out
    assert "evidence predicted" in found.out
    # `record` reads with the rights of a run; of the whole cluster's VMs there is nothing to see on this stand-in
    assert denied <= {("list", "virtualmachines")}
    (path,) = (tmp_path / "runs").iterdir()
    directory = RunDirectory.open(path)
    assert directory.complete
    assert directory.provenance.kubelet["worker"]["evictionHard"] == {"memory.available": "500Mi"}
    assert directory.provenance.versions["kubevirt"].startswith("v1.")

    bad = await density(tmp_path, "record", "--until", "lunch")
    assert (bad.code, "--until lunch: not known. evicted: a kubelet evicts a pod" in bad.err) == (2, True)
