"""`density record` of a cluster with a running guest until Ctrl-C, then what starts from a recording: import and why."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

import pytest

from harness.embedded.api.resources import VMIS
from harness.records.model import Guest, Sample, Watch
from harness.records.rundir import RunDirectory
from tests.cluster.kubeconfig.scene import Foreign, foreign
from tests.cluster.kubeconfig.test_failures import Ended, density, written
from tests.embedded.api.fakes import until

SCENARIO = """
apiVersion: density/v1
kind: Scenario
metadata: {name: looked-at, title: A guest that somebody else runs}
nodes: [{name: target}]
fleet:
  - {name: theirs, manifest: agent.yaml, match: {names: [theirs]}}
stated:
  kubelet: {worker: {evictionHard: {memory.available: 500Mi}}}
requires:
  - survives: {fleet: theirs}
  - qos: {of: theirs, pod: Burstable}
"""
MANIFEST = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachineInstance",
    "metadata": {"name": "theirs"},
    "spec": {
        "terminationGracePeriodSeconds": 30,
        "domain": {
            "devices": {"autoattachGraphicsDevice": False},
            "memory": {"guest": "512Mi"},
            "resources": {"overcommitGuestOverhead": True, "requests": {"memory": "64Mi"}},
        },
    },
}


async def interrupted(there: Foreign, tmp_path: Path, config: str) -> Ended:
    """Record until the guest has run for a while, then press Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "harness.cli",
        "record", "--kubeconfig", config, "-n", "density", "--consoles", "--runs-dir", str(tmp_path / "runs"),
        env={"XDG_STATE_HOME": str(tmp_path / "state"), "HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        console = ("get", "subresources.kubevirt.io", "virtualmachineinstances/console")
        store = there.inner.embedded.store
        await until(lambda: console in there.rbac.used)
        await until(lambda: store.get(VMIS, "density", "theirs").get("status", {}).get("phase") == "Running")
        await asyncio.sleep(2.5)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(20):
            out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return Ended(process.returncode or 0, out.decode(), err.decode())


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    (tmp_path / "agent.yaml").write_text(json.dumps(MANIFEST))
    file = tmp_path / "looked-at.yaml"
    file.write_text(SCENARIO)
    return file


async def test_a_recording_until_ctrl_c_can_be_judged_and_explained(tmp_path: Path, scenario: Path) -> None:
    async with foreign("node-stats") as there:
        config = written(tmp_path, "good", there.kubeconfig)
        there.inner.embedded.store.create(VMIS, MANIFEST, namespace="density")
        recorded = await interrupted(there, tmp_path, config)
        changed = {verb for verb, _, _ in there.rbac.used} - {"get", "list", "watch"}
    assert recorded.code == 0, recorded
    assert changed == set(), "it reads only"
    assert "recording into " in recorded.out
    assert "watching; Ctrl-C ends the recording in good order" in recorded.out
    (path,) = (tmp_path / "runs").iterdir()
    directory = RunDirectory.open(path)
    assert directory.complete
    assert (directory.provenance.outcome, directory.provenance.evidence) == ("complete", "predicted")
    records = [record for _, record in directory.records()]
    phases = [
        r.object["status"].get("phase")
        for r in records
        if isinstance(r, Watch) and r.object["kind"] == "VirtualMachineInstance" and "status" in r.object
    ]
    assert phases[-1] == "Running"
    assert {"stats/summary", "configz"} <= {r.source for r in records if isinstance(r, Sample)}
    assert [r.line for r in records if isinstance(r, Guest) and r.line.startswith("@ hello ")]
    assert [p.name for p in (path / "artefacts" / "consoles").iterdir()] == ["density_theirs.log"]

    runs = ("--runs-dir", str(tmp_path / "runs"))
    judged = await density(tmp_path, "import", str(path), "--scenario", str(scenario), *runs)
    assert judged.code == 0, judged
    (imported,) = [p for p in (tmp_path / "runs").iterdir() if p != path]
    findings = json.loads((imported / "findings.json").read_bytes())["findings"]
    assert {f["check"]: f["outcome"] for f in findings} == {"requires/0": "holds", "requires/1": "holds"}

    why = await density(tmp_path, "why", str(path), "density/theirs", *runs)
    assert why.code == 0, why
    assert "theirs" in why.out
    assert "Running" in why.out
