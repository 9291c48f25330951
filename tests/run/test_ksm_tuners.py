"""Whole runs on a machine with KSM's files, tuned by a file or by KubeVirt's handler: what is on record, and what is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from harness.embedded.machine.linux.host import HostSettings
from harness.records.model import Action
from harness.records.rundir import RunDirectory
from harness.run.session import Result
from harness.units import Seconds
from tests.run.agent import FAST, AgentCluster, AgentMachine
from tests.run.scenarios import HEAD, load
from tests.run.test_session import Clusters, carry_out, state  # noqa: F401 - a fixture


class KsmMachine(AgentMachine):
    """Two idle guests use 200 MiB."""

    def __init__(self) -> None:
        super().__init__()
        self.ksm: dict[str, int] = {"run": 1, "pages_to_scan": 100, "sleep_millisecs": 20}

    async def apply_host(self, settings: HostSettings) -> None:
        self.ksm.update({name: int(text) for name, text in settings.ksm.items()})

    def host_samples(self) -> Mapping[str, Mapping[str, Any]]:
        return {"ksm": {**self.ksm, "pages_sharing": 0}}


class KsmCluster(AgentCluster):
    def __init__(self) -> None:
        super().__init__()
        self._timing = replace(FAST, ksm=Seconds(0.7))
        self.fake: KsmMachine = KsmMachine()


class KsmClusters(Clusters):
    def __init__(self) -> None:
        super().__init__()
        self.kind = KsmCluster


class Foreign:
    """A cluster on machines that are not ours to set."""

    kind = "kind"

    def __init__(self) -> None:
        self._inner = AgentCluster()

    async def __aenter__(self) -> Self:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._inner.__aexit__(*exc)

    def __getattr__(self, name: str) -> Any:
        if name == "apply_host":
            raise AttributeError(name)
        return getattr(self._inner, name)


def head(ksm: str, *more: str) -> str:
    text = HEAD.replace("memory.available: 500Mi", "memory.available: 10Mi")
    return text.replace("observe:", "\n".join([f"host: {{ksm: {ksm}}}", *more, "observe:"]))


def actions(result: Result, *what: str) -> list[Action]:
    records = [record for _, record in RunDirectory.open(result.run.directory.path).records()]
    return [r for r in records if isinstance(r, Action) and r.what in what]


BODY = """
workload:
  - {name: idle, when: {fleet: all, is: Ready, after: 1100ms}, hold: {fleet: all}}
  - {name: fill, when: {step: done, after: 1200ms}, grow: {fleet: all, to: 350Mi}}
  - {name: tuned, when: {step: done, after: 2200ms}, hold: {fleet: all}}
requires:
  - ksm: {of: all, run: 0, at: step:idle}
  - ksm: {of: all, run: 1, since: step:fill, at: step:tuned, knobs: SIDE}
"""


async def test_a_file_tunes_ksm_by_what_the_node_has_free(tmp_path: Path) -> None:
    (tmp_path / "fast.conf").write_text("KSM_MONITOR_INTERVAL=1\nKSM_THRES_COEF=70\n", encoding="utf-8")
    clusters = KsmClusters()
    scenario = load(tmp_path, BODY.replace("SIDE", "file"), head=head("{tuned: fast.conf}"))
    result = await carry_out(scenario, tmp_path, clusters=clusters)
    assert [f.outcome for f in result.findings.findings] == ["holds", "holds"], result.findings
    assert "by ksmtuned's fast.conf" in result.findings.findings[1].seen
    first, started, *boosted = actions(result, "configure-host")
    assert (first.args, started.target) == ({"ksm": {"run": "0"}, "swap": {}}, "host")
    assert started.args["ksm"] == {"pages_to_scan": "300", "sleep_millisecs": "160", "run": "1"}
    assert started.args["from"]["run"] == "0"
    assert "committed 900 + threshold 716 >= 1024 MiB, free 124 < 716: boost" in started.args["why"]
    assert [a.args["ksm"]["pages_to_scan"] for a in boosted][:1] == ["600"]


async def test_kubevirt_s_handler_tunes_ksm_of_the_nodes_it_selects(tmp_path: Path) -> None:
    clusters = KsmClusters()
    kubevirt = "kubevirt: {ksmConfiguration: {nodeLabelSelector: {}}}"
    scenario = load(tmp_path, BODY.replace("SIDE", "annotations"), head=head("{by: kubevirt}", kubevirt))
    result = await carry_out(scenario, tmp_path, clusters=clusters)
    assert [f.outcome for f in result.findings.findings] == ["holds", "holds"], result.findings
    assert "by virt-handler" in result.findings.findings[1].seen
    started, *ramp = actions(result, "ksm-handler")
    assert (started.target, started.args["ksm"]["run"]) == ("target", "1")
    assert started.args["from"]["run"] == "0"
    assert [a.args["ksm"]["pages_to_scan"] for a in ramp][:1] == ["400"]
    assert result.findings.findings[0].seen == "/sys/kernel/mm/ksm/run 0"


@pytest.mark.parametrize(
    ("ksm", "outcome", "reason"),
    [
        ("{by: kubevirt}", "complete", ""),
        ("{tuned: {KSM_NPAGES_MAX: 100}}", "not-observable", "ksm of the machines of a kind cluster can't be set from here"),
    ],
)  # fmt: skip
async def test_on_a_cluster_that_is_not_ours_kubevirt_does_by_itself_what_it_does(
    tmp_path: Path, ksm: str, outcome: str, reason: str
) -> None:
    scenario = load(tmp_path, "requires: [{survives: {fleet: calm}}]\n", head=head(ksm))
    clusters = Clusters()
    clusters.kind = Foreign  # type: ignore[assignment]
    result = await carry_out(scenario, tmp_path, clusters=clusters)
    assert (result.run.outcome, result.run.reason) == (outcome, reason)
    assert actions(result, "configure-host") == []
