"""KubeVirt's care for KSM as our virt-handler plays it, on this machine's own KSM with real guests, its looks 5 s apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.cluster.base import Cluster, Undo
from harness.cluster.local import LocalCluster
from harness.embedded.kubelet.timing import Timing
from harness.embedded.machine.linux import probe
from harness.embedded.machine.linux.hostlock import PATH
from harness.embedded.machine.linux.ksm import Ksm
from harness.records.model import Action, Watch
from harness.records.rundir import RunDirectory
from harness.run.interrupt import Interrupt
from harness.run.session import run_scenario
from harness.run.settings import Settings
from harness.spec.loader import load_scenario
from harness.spec.model import Scenario
from harness.units import Seconds

AGENT = Path(__file__).parents[2] / "suites" / "manifests" / "agent.yaml"
SCENARIO = f"""\
apiVersion: density/v1
kind: Scenario
metadata: {{name: handled, title: KubeVirt's handler starts KSM once 20 % or less is available}}
observe: 1s
# Two idle guests leave 310 MiB of 640 available, and 110 when they hold 100 each: 17 %.
nodes: [{{name: target, memory: 640Mi, kubelet: {{evictionHard: {{memory.available: 20Mi}}}}}}]
kubevirt: {{ksmConfiguration: {{nodeLabelSelector: {{}}}}}}
host: {{ksm: {{by: kubevirt}}}}
fleet:
  - name: alike
    manifest: {AGENT}
    count: 2
    set:
      spec.domain.memory.guest: 256Mi
      spec.domain.resources.requests.memory: 64Mi
      spec.domain.resources.overcommitGuestOverhead: true
workload:
  - {{name: idle, when: {{fleet: all, is: Ready, after: 6s}}, hold: {{fleet: all}}}}
  - {{name: fill, when: {{step: done, after: 2500ms}}, grow: {{fleet: all, to: 100Mi, rate: 50Mi/s, pages: unique}}}}
  - {{name: handled, when: {{step: done, after: 12s}}, hold: {{fleet: all}}}}
  - {{name: still, when: {{step: done, after: 2500ms}}, hold: {{fleet: all}}}}
requires:
  - ksm: {{of: all, run: 0, at: step:idle}}
  - ksm: {{of: all, run: 1, at: step:handled, knobs: annotations}}
  - condition: {{of: all, object: node, type: MemoryPressure, status: "False"}}
"""


class Hurried(LocalCluster):
    """`local`, whose virt-handler does not take three minutes."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._timing = Timing(ksm=Seconds(5.0))


@pytest.fixture(autouse=True)
def as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """KSM is after the test what it was before it."""
    for capability in probe.survey():
        if capability.name in {"ksm", "cgroup-write"} and capability.value == "no":
            pytest.skip(f"{capability.name}: {capability.why}")
    if (Path("/") / PATH).exists():
        pytest.skip("another harness has the host-wide settings")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    before = Ksm().settings()
    yield
    assert Ksm().settings() == before
    assert not (Path("/") / PATH).exists()


@pytest.mark.guest
@pytest.mark.soak
@pytest.mark.timeout(120)
async def test_it_starts_ksm_when_the_node_is_short_and_says_so_on_the_node(tmp_path: Path) -> None:
    def make(_scenario: Scenario, run: str, undo: Undo) -> Cluster:
        return Hurried(undo=undo, run=run, accel="tcg")

    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    result = await run_scenario(
        load_scenario(path),
        {},
        make,
        settings=Settings(runs=tmp_path / "runs", command=("density", "run")),
        interrupt=Interrupt(),
    )
    assert [f.outcome for f in result.findings.findings] == ["holds"] * 3, result.findings
    records = [record for _, record in RunDirectory.open(result.run.directory.path).records()]
    started, *later = [r for r in records if isinstance(r, Action) and r.what == "ksm-handler"]
    # 100 * 16 GiB / what is used, about 530 MiB of 640
    assert 2900 <= int(started.args["ksm"]["sleep_millisecs"]) <= 3300
    assert (started.args["ksm"]["run"], later[0].args["ksm"]["pages_to_scan"]) == ("1", "400")
    nodes = [r.object["metadata"] for r in records if isinstance(r, Watch) and r.object["kind"] == "Node"]
    said = [
        (
            node["labels"]["kubevirt.io/ksm-enabled"],
            node["annotations"]["kubevirt.io/ksm-handler-managed"],
        )
        for node in nodes
    ]
    assert said[0] == ("true", "false")
    assert said[-1] == ("true", "true")
