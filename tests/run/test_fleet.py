from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.run.fleet import plan
from tests.run.scenarios import load

BODY = """
requires: [{survives: {fleet: calm}}]
"""
TWO = """
apiVersion: density/v1
kind: Scenario
metadata: {name: two, title: Two nodes}
nodes: [{name: left, memory: 1Gi}, {name: right, memory: 1Gi}]
fleet:
  - {name: pinned, manifest: agent.yaml, count: 2, node: right, deaf: true}
  - {name: free, manifest: agent.yaml}
"""
ONE = """
apiVersion: density/v1
kind: Scenario
metadata: {name: one, title: One guest}
nodes: [{name: left, memory: 1Gi}]
fleet: [{name: free, manifest: agent.yaml}]
"""


def settings(*, nonce: str, deaf: bool) -> Mapping[str, Any]:
    return {"metadata": {"annotations": {"nonce": nonce, "deaf": str(deaf)}}}


def planned(tmp_path: Path, *, pin: bool) -> list[Mapping[str, Any]]:
    nonces = iter("abc")
    return [
        one.manifest
        for one in plan(
            load(tmp_path, BODY.replace("calm", "free"), head=TWO),
            namespace="ns",
            run="r1",
            nodes={"left": "worker-1", "right": "worker-2"},
            pin=pin,
            settings=settings,
            nonce=lambda: next(nonces),
        )
    ]


def test_members_are_named_labelled_and_given_their_secrets(tmp_path: Path) -> None:
    manifests = planned(tmp_path, pin=False)
    assert [m["metadata"]["name"] for m in manifests] == ["pinned-1", "pinned-2", "free"]
    assert manifests[0]["metadata"] == {
        "name": "pinned-1",
        "namespace": "ns",
        "labels": {"density.dev/run": "r1", "density.dev/fleet": "pinned"},
        "annotations": {"nonce": "a", "deaf": "True"},
    }
    assert manifests[2]["metadata"]["annotations"] == {"nonce": "c", "deaf": "False"}
    assert manifests[0]["spec"]["domain"]["memory"] == {"guest": "512Mi"}


def test_a_fleet_of_a_node_goes_there_others_stay_among_the_scenarios_nodes(tmp_path: Path) -> None:
    free = planned(tmp_path, pin=False)
    assert free[0]["spec"]["nodeSelector"] == {"kubernetes.io/hostname": "worker-2"}
    assert "nodeSelector" not in free[2]["spec"]
    assert "affinity" not in free[2]["spec"]
    pinned = planned(tmp_path, pin=True)
    terms = pinned[2]["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert terms["nodeSelectorTerms"][0]["matchExpressions"][0]["values"] == ["worker-1", "worker-2"]


def test_what_the_settings_take_away_is_not_sent(tmp_path: Path) -> None:
    boot = "fleet.free.set.spec.domain.firmware.kernelBoot.container.image=somewhere/agent"
    (one,) = plan(
        load(tmp_path, BODY.replace("calm", "free"), head=ONE, overrides=(boot,)),
        namespace="ns",
        run="r1",
        nodes={},
        pin=False,
        settings=lambda **_: {"spec": {"domain": {"firmware": {"kernelBoot": None}}, "volumes": []}},
        nonce=lambda: "a",
    )
    assert one.manifest["spec"]["domain"]["firmware"] == {}
    assert one.manifest["spec"]["volumes"] == []


SLOW = """
apiVersion: density/v1
kind: Scenario
metadata: {name: slow, title: A slow guest}
nodes: [{name: left, memory: 1Gi}]
fleet:
  - {name: free, manifest: agent.yaml, shutdown: 2500ms}
  - name: vm
    shutdown: 6s
    manifest:
      apiVersion: kubevirt.io/v1
      kind: VirtualMachine
      metadata: {name: vm}
      spec:
        runStrategy: Always
        template: {spec: {domain: {memory: {guest: 256Mi}, firmware: {kernelBoot: {kernelArgs: quiet}}}}}
"""


def test_a_guest_is_told_how_long_its_shutdown_takes(tmp_path: Path) -> None:
    free, vm = (
        one.manifest
        for one in plan(
            load(tmp_path, BODY.replace("calm", "free"), head=SLOW),
            namespace="ns",
            run="r1",
            nodes={"left": "worker-1"},
            pin=False,
            settings=settings,
            nonce=lambda: "a",
        )
    )
    assert free["metadata"]["annotations"]["density.dev/shutdown"] == "2500"
    assert "firmware" not in free["spec"]["domain"]
    template = vm["spec"]["template"]
    assert template["metadata"]["annotations"]["density.dev/shutdown"] == "6000"
    assert template["spec"]["domain"]["firmware"]["kernelBoot"]["kernelArgs"] == "quiet density.shutdown=6000"
